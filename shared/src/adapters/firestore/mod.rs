//! Firestore: the collections `training_jobs` and `exports` of one database.
//!
//! A function can start and reject invalid requests without the database: it connects meanwhile, or on first use. Every
//! operation ends within [`DEADLINE`], including retries. The client library supports `FIRESTORE_EMULATOR_HOST`.

mod callers;
mod error;
mod exports;
mod query;
mod retry_delay;
mod training_jobs;
mod write;

pub use query::{CompositeIndex, needed_indexes};

use std::{sync::Arc, time::Duration};

use firestore::{FirestoreDb, FirestoreDbOptions};
use tokio::{sync::OnceCell, time::timeout};

use self::error::StoreError;
use super::{google_api::connect_early, tls};
use crate::config;

/// The timeout of one operation.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A Firestore database.
#[derive(Clone)]
pub struct Firestore {
    options: Arc<FirestoreDbOptions>,
    connected: Arc<OnceCell<FirestoreDb>>,
}

impl Firestore {
    /// The configured database. Connects on first use.
    #[must_use]
    pub fn new(settings: config::FirestoreConfig) -> Self {
        tls::install_provider();
        let options = FirestoreDbOptions::new(settings.project_id)
            .with_database_id(settings.database)
            .with_request_timeout(DEADLINE);
        Self { options: Arc::new(options), connected: Arc::default() }
    }

    /// Connects from now on, so that the first request waits less. If that fails, the request connects itself. Needs a runtime.
    #[must_use]
    pub fn connected_early(self) -> Self {
        let store = self.clone();
        connect_early(async move { store.db().await.map(drop) });
        self
    }

    /// The configured database on the server at `url`.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn at(settings: config::FirestoreConfig, url: &str) -> Self {
        let store = Self::new(settings);
        Self { options: Arc::new((*store.options).clone().with_firebase_api_url(url.to_owned())), ..store }
    }

    async fn db(&self) -> Result<&FirestoreDb, StoreError> {
        let connect = || FirestoreDb::with_options((*self.options).clone());
        Ok(self.connected.get_or_try_init(connect).await?)
    }
}

/// Runs `operation` with the timeout [`DEADLINE`].
async fn within_deadline<T, E: From<StoreError>>(
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(DEADLINE, operation).await.unwrap_or_else(|_| Err(StoreError::Deadline.into()))
}
