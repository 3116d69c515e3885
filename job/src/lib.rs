//! The export job: one run, one export. Claim it, find its inputs, let the engine work, upload, finish.

mod archive;
mod blocks;
mod bucket;
pub mod config;
mod error;
mod fingerprint;
mod hub;
mod inputs;
mod manifest;
mod plan;
mod reporter;
mod run;
mod work;

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use shared::{
    adapters::storage::Storage,
    domain::{Claim, ExportId},
    ports::{Exports, TrainingJobs},
};

pub use run::run;

/// Longest time between two writes of progress in production: Firestore sustains about one write a second to a
/// document, and people look every ten.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Where the Hugging Face Hub is, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// `HF_ENDPOINT`, without a slash at the end.
    pub endpoint: String,
    /// How long one answer may take.
    pub deadline: Duration,
    /// How long an upload may stand still.
    pub stall: Duration,
}

impl HubSettings {
    /// The Hub that everybody uses.
    pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

    /// A Hub at `endpoint`, with the patience of production.
    #[must_use]
    pub fn at(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            deadline: Duration::from_secs(60),
            stall: Duration::from_secs(120),
        }
    }
}

/// What the job works with. Only `main` knows which adapters these are.
pub struct Context {
    /// The collection `training_jobs`.
    pub training_jobs: Arc<dyn TrainingJobs>,
    /// The collection `exports`.
    pub exports: Arc<dyn Exports>,
    /// What finds the store of a bucket's URL.
    pub storage: Storage,
    /// Where artifacts go.
    pub buckets: Buckets,
    /// Where base models are, as folders `<owner>/<name>/`.
    pub base_models: Option<String>,
    /// Whether the predictions of what is made are compared with those of base and adapter.
    pub verify_logits: bool,
    /// The Hugging Face Hub.
    pub hub: HubSettings,
    /// Least time between two writes of progress.
    pub progress_interval: Duration,
}

/// The buckets, as URLs without a slash at the end.
#[derive(Debug, Clone)]
pub struct Buckets {
    /// Of raw models (`GCS_EXPORT_BUCKET_NAME`).
    pub raw: String,
    /// Of the files that people download (`GCS_EXPORT_FILES_BUCKET_NAME`).
    pub files: String,
}

/// One execution of the job.
#[derive(Debug)]
pub struct Execution {
    /// The export it was launched for.
    pub export: ExportId,
    /// Under which name it works.
    pub claim: Claim,
    /// The caller's token for the Hub.
    pub hf_token: Option<SecretString>,
}
