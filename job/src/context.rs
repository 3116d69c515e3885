//! What one execution of the job is given: the stores, the buckets, the Hub, and the export to work on.

use std::{sync::Arc, time::Duration};

use hub_client::HubSettings;
use secrecy::SecretString;
use shared::{
    adapters::storage::Storage,
    domain::{Claim, ExportId},
    ports::{EncryptionKey, Exports, TrainingJobs},
};

use crate::machine::JobMachine;

/// Shortest time between two writes of progress in production: Firestore sustains about one write a second to a
/// document, and the web page polls every ten seconds.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The adapters and settings of the job. Only `main` chooses them.
pub struct Context {
    /// The collection `training_jobs`.
    pub training_jobs: Arc<dyn TrainingJobs>,
    /// The collection `exports`.
    pub exports: Arc<dyn Exports>,
    /// Opens sealed Hub tokens. `None`: tokens are not sealed.
    pub token_key: Option<Arc<dyn EncryptionKey>>,
    /// Where models are read from and written to.
    pub locations: Locations,
    /// The machine that the job runs on, and its limits.
    pub machine: JobMachine,
    /// Shortest time between two writes of progress.
    pub progress_interval: Duration,
}

/// The buckets and the Hub, which models are read from and written to.
pub struct Locations {
    /// Resolves a bucket's URL to its store.
    pub storage: Storage,
    /// The buckets that artifacts are written to.
    pub buckets: Buckets,
    /// URL of the base models, folders `<owner>/<name>/`. `None`: all base models are read from the Hub.
    pub base_models: Option<String>,
    /// The Hugging Face Hub.
    pub hub: HubSettings,
}

/// The buckets, as URLs without a trailing slash.
#[derive(Debug, Clone)]
pub struct Buckets {
    /// Raw models (`GCS_EXPORT_BUCKET_NAME`).
    pub raw: String,
    /// Files for download (`GCS_EXPORT_FILES_BUCKET_NAME`).
    pub files: String,
}

/// One execution of the job.
#[derive(Debug)]
pub struct Execution {
    /// The export it was launched for.
    pub export: ExportId,
    /// The execution's name, attempt and process, which the claim records.
    pub claim: Claim,
    /// The caller's token for the Hub; sealed where there is a key.
    pub hf_token: Option<SecretString>,
}
