//! What the rules need from outside. Adapters implement these; `testing::conformance` holds them to it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use secrecy::SecretString;

use crate::domain::{
    Artifact, ExecutionName, Export, ExportId, JobId, Refused, TrainingJob, Transition, UserId,
};

/// Something outside did not work. The text and its sources are for the log only.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It could not be reached, or not in time. Trying again may help.
    #[error("{what} is unavailable")]
    Unavailable {
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with an error, or with what it must not answer.
    #[error("{what} failed")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The collection `training_jobs`.
#[async_trait]
pub trait TrainingJobs: Send + Sync {
    /// The job of that id. A document that cannot be read as a job is an error.
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError>;

    /// The completed jobs of `owner`, newest first; ones without a time last, equal ones by id. A document that
    /// cannot be read as a job is logged and left out.
    async fn completed_of(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError>;

    /// Sets `artifacts.{variant}.{type}` of that job and leaves everything else as it is, also fields that this
    /// service does not know.
    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError>;
}

/// Why an export did not change.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The rules forbid it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such export.
    #[error("the export does not exist")]
    NoSuchExport,
    /// The store did not work.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The collection `exports`.
#[async_trait]
pub trait Exports: Send + Sync {
    /// Writes a new export. One that exists already is an error and stays as it is.
    async fn create(&self, export: &Export) -> Result<(), PortError>;

    /// The export of that id.
    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError>;

    /// The export of that job with the latest `started_at`.
    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError>;

    /// Applies [`Export::apply`] to the stored export in one transaction, and answers what is stored then. Fields
    /// that this service does not know stay as they are.
    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError>;
}

/// Why a job may not be running.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It was certainly not started.
    #[error("the export job was not started")]
    NotStarted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It may or may not have been started: starting it again could run it twice.
    #[error("it is not known whether the export job was started")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What starts the export job: a Cloud Run job or, locally, a process.
#[async_trait]
pub trait JobLauncher: Send + Sync {
    /// Starts the job for that export with `EXPORT_ID`, `PROJECT_ID` and, if given, `HF_TOKEN` in its environment.
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError>;
}

/// Where the public keys of Firebase's tokens come from.
#[async_trait]
pub trait TokenKeys: Send + Sync {
    /// The RS256 key of that id; `None` when the issuer has no such key (now).
    async fn key(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, PortError>;
}

/// What turns the path of an artifact's file into something a browser can fetch.
#[async_trait]
pub trait DownloadLinks: Send + Sync {
    /// An https URL (http on loopback) for that `gs://` or `file://` path, good for [`DOWNLOAD_LINK_LIFETIME`]
    /// and for nobody who does not hold it. `None` for a path outside the bucket of downloads.
    async fn link(&self, path: &str) -> Result<Option<String>, PortError>;
}

/// How long a download link works.
pub const DOWNLOAD_LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);
