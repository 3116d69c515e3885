//! The Hugging Face Hub: the part of its HTTP API that models are read and written by, over repositories in memory,
//! with a real Xet store behind it. A commit that names a large file is refused unless the Xet store has its bytes.

mod faults;
mod repos;
mod routes;
mod xet;

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use tokio::net::TcpListener;

use faults::Faults;
pub use faults::{Fault, Step};
use repos::Repos;
pub use repos::{Content, Repo};
use xet::XetStore;

/// A file over this size is kept in the Xet store, as the Hub decides for weights.
pub const LARGEST_REGULAR: u64 = 64 * 1024;

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Whose token it is: the owner of the repositories that it may write.
    pub user: String,
    /// Whether it may write.
    pub write: bool,
    /// Whether its user has accepted the licences of gated models.
    pub licences: bool,
}

/// A running stand-in.
pub struct Hub {
    state: Arc<State>,
}

struct State {
    endpoint: String,
    repos: Repos,
    xet: XetStore,
    faults: Faults,
    tokens: BTreeMap<String, Access>,
}

impl Hub {
    /// Starts one that knows `tokens`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(tokens: impl IntoIterator<Item = (&'static str, Access)>) -> Self {
        let tokens = tokens.into_iter().map(|(token, access)| (token.to_owned(), access)).collect();
        let xet = XetStore::start().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (repos, faults) = (Repos::default(), Faults::default());
        let state = Arc::new(State { endpoint, repos, xet, faults, tokens });
        let router = routes::router(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { state }
    }

    /// Its address, for `HF_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.state.endpoint
    }

    /// Puts a repository there.
    pub fn put(&self, id: &str, repo: Repo) {
        self.state.repos.put(id, repo);
    }

    /// A repository as it is now.
    #[must_use]
    pub fn repo(&self, id: &str) -> Option<Repo> {
        self.state.repos.get(id)
    }

    /// How many requests of that step there were.
    #[must_use]
    pub fn asked(&self, step: Step) -> usize {
        self.state.faults.asked(step)
    }

    /// Makes the next `times` requests of that step fail.
    pub fn fail(&self, step: Step, fault: Fault, times: usize) {
        self.state.faults.set(step, fault, times);
    }
}
