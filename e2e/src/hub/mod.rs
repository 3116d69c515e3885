//! A fake Hugging Face Hub: the part of its HTTP API that reads and writes models, with in-memory repositories and a real
//! Xet store. A commit with a large file is rejected unless the Xet store has its bytes.

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

/// The largest file that is stored in git, in bytes; larger ones are stored in the Xet store.
pub const LARGEST_REGULAR: u64 = 64 * 1024;

/// The permissions of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The user, who owns the repositories that the token can write.
    pub user: String,
    /// Whether the token has write access.
    pub write: bool,
    /// Whether the user has accepted the licenses of gated models.
    pub licenses: bool,
}

/// The running server.
pub struct Hub {
    state: Arc<HubState>,
}

struct HubState {
    endpoint: String,
    repos: Repos,
    xet: XetStore,
    faults: Faults,
    tokens: BTreeMap<String, Access>,
}

impl Hub {
    /// Starts a server that accepts `tokens`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(tokens: impl IntoIterator<Item = (&'static str, Access)>) -> Self {
        let tokens = tokens.into_iter().map(|(token, access)| (token.to_owned(), access)).collect();
        let xet = XetStore::start().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (repos, faults) = (Repos::default(), Faults::default());
        let state = Arc::new(HubState { endpoint, repos, xet, faults, tokens });
        let router = routes::router(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { state }
    }

    /// The base URL, for `HF_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.state.endpoint
    }

    /// Stores a repository.
    pub fn put(&self, id: &str, repo: Repo) {
        self.state.repos.put(id, repo);
    }

    /// The current state of a repository.
    #[must_use]
    pub fn repo(&self, id: &str) -> Option<Repo> {
        self.state.repos.get(id)
    }

    /// The number of requests of that step.
    #[must_use]
    pub fn asked(&self, step: Step) -> usize {
        self.state.faults.asked(step)
    }

    /// Makes the next `times` requests of that step fail.
    pub fn fail(&self, step: Step, fault: Fault, times: usize) {
        self.state.faults.set(step, fault, times);
    }
}
