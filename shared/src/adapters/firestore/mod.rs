//! Firestore: the collections `training_jobs` and `exports` of one database.
//!
//! Connects on first use, so that a function starts, and refuses bad requests, without it. Every operation ends
//! within [`DEADLINE`], retries included. `FIRESTORE_EMULATOR_HOST` is honoured by the client.

mod error;
mod exports;
mod query;
mod training_jobs;
mod write;

pub use query::{Index, needed_indexes};

use std::{sync::Arc, time::Duration};

use firestore::{FirestoreDb, FirestoreDbOptions};
use tokio::{sync::OnceCell, time::timeout};

use self::error::Failure;
use crate::config;

/// The longest that one operation may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// One database.
#[derive(Clone)]
pub struct Firestore {
    options: Arc<FirestoreDbOptions>,
    connected: Arc<OnceCell<FirestoreDb>>,
}

impl Firestore {
    /// The database that the settings name; it need not be there yet.
    #[must_use]
    pub fn new(settings: config::Documents) -> Self {
        let options = FirestoreDbOptions::new(settings.project_id)
            .with_database_id(settings.database)
            .with_request_timeout(DEADLINE);
        Self { options: Arc::new(options), connected: Arc::default() }
    }

    /// The database at that URL, wherever the settings would find it.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn at(settings: config::Documents, url: &str) -> Self {
        let found = Self::new(settings);
        Self { options: Arc::new((*found.options).clone().with_firebase_api_url(url.to_owned())), ..found }
    }

    async fn db(&self) -> Result<&FirestoreDb, Failure> {
        let connect = || FirestoreDb::with_options((*self.options).clone());
        Ok(self.connected.get_or_try_init(connect).await?)
    }
}

/// Ends `operation` in time.
async fn in_time<T, E: From<Failure>>(operation: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    timeout(DEADLINE, operation).await.unwrap_or_else(|_| Err(Failure::Deadline.into()))
}
