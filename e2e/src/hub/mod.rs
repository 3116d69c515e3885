//! A fake Hugging Face Hub: the part of its HTTP API that reads and writes models, with in-memory repositories and a real
//! Xet store. A commit with a large file is rejected unless the Xet store has its bytes.

mod access;
mod answers;
mod cdn;
mod faults;
mod oauth;
mod ranges;
mod repos;
mod routes;
mod xet;

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use tokio::{net::TcpListener, sync::Mutex};

pub use access::Access;
pub use answers::Answer;
use cdn::SentBytes;
use faults::Faults;
pub use faults::{Fault, Step};
use oauth::OAuth;
pub use oauth::{HubUser, OAuthApp};
use repos::Repos;
pub use repos::{Content, Repo};
use xet::XetStore;

/// The largest file that is stored in git, in bytes; larger ones are stored in the Xet store.
pub const LARGEST_REGULAR: u64 = 64 * 1024;

/// The running server.
pub struct Hub {
    state: Arc<HubState>,
}

type HubRef = axum::extract::State<Arc<HubState>>;

struct HubState {
    endpoint: String,
    /// The base URL of the storage.
    cdn: String,
    repos: Repos,
    xet: XetStore,
    faults: Faults,
    sent: SentBytes,
    tokens: BTreeMap<String, Access>,
    oauth: OAuth,
    /// Held by a commit.
    committing: Mutex<()>,
}

impl Hub {
    /// Starts a server that accepts `tokens`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(tokens: impl IntoIterator<Item = (&'static str, Access)>) -> Self {
        let tokens = tokens.into_iter().map(|(token, access)| (token.to_owned(), access)).collect();
        let xet = XetStore::start().await;
        let ((listener, endpoint), (storage, cdn)) = (listen().await, listen().await);
        let (repos, faults) = (Repos::default(), Faults::default());
        let (sent, oauth, committing) = (SentBytes::default(), OAuth::default(), Mutex::default());
        let state = Arc::new(HubState { endpoint, cdn, repos, xet, faults, sent, tokens, oauth, committing });
        let (hub, cdn) = (routes::router(Arc::clone(&state)), cdn::router(Arc::clone(&state)));
        let hub = hub.clone().nest("/mirror", hub);
        tokio::spawn(async move { axum::serve(listener, hub).await });
        tokio::spawn(async move { axum::serve(storage, cdn).await });
        Self { state }
    }

    /// The base URL, for `HF_ENDPOINT`. The same is below it at `/mirror`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.state.endpoint
    }

    /// Registers the app, at which `user` signs in.
    pub fn register(&self, app: OAuthApp, user: HubUser) {
        self.state.oauth.register(app, user);
    }

    /// Stores a repository.
    pub fn put(&self, id: &str, repo: Repo) {
        self.state.repos.put(id, repo);
    }

    /// Renames a repository. Requests with the old name are redirected.
    pub fn rename(&self, old: &str, new: &str) {
        self.state.repos.rename(old, new);
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

    /// The bytes of a repository's large files that were sent.
    #[must_use]
    pub fn sent(&self, id: &str) -> u64 {
        self.state.sent.of(id)
    }

    /// Makes the next `times` requests of that step fail.
    pub fn fail(&self, step: Step, fault: Fault, times: usize) {
        self.state.faults.set(step, fault, 0, times);
    }

    /// Makes `times` requests of that step fail, after the next `after`.
    pub fn fail_after(&self, step: Step, fault: Fault, after: usize, times: usize) {
        self.state.faults.set(step, fault, after, times);
    }
}

/// A free port, and its base URL.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"))
}
