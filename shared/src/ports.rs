//! Ports: the traits through which the service uses external systems. Adapters implement them;
//! `testing::conformance` tests the stores.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    domain::{
        Artifact, CallerLimits, CallerQuotas, Error, ExecutionName, Export, ExportId, Failure, HistoryCursor,
        HistoryPage, JobId, PageSize, Plan, TrainingJob, Transition, TransitionError, UserId,
    },
    rsa_key::RsaPublicKey,
};

/// An external system failed. Message and sources are only for the log.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It is unreachable or did not respond in time. A retry may succeed.
    #[error("{what} is unavailable")]
    Unavailable {
        /// The name of the system.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It returned an error or an invalid response.
    #[error("{what} failed")]
    Failed {
        /// The name of the system.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        Self::Internal(error.into())
    }
}

/// The collection `training_jobs`.
#[async_trait]
pub trait TrainingJobs: Send + Sync {
    /// The job with that id. A document that cannot be parsed is an error.
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError>;

    /// The completed jobs of `owner`, newest first: by `created_at` descending, jobs without one last, then by id. A
    /// document that cannot be parsed is logged and skipped.
    async fn list_completed(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError>;

    /// Sets `artifacts.{variant}.{type}` of that job. All other fields stay unchanged, including fields that this
    /// service does not know.
    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError>;
}

/// Why a transition was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The state machine rejected it.
    #[error(transparent)]
    Refused(#[from] TransitionError),
    /// The export does not exist.
    #[error("the export does not exist")]
    NoSuchExport,
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// How storing a new export ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is stored.
    Created(CreatedExport),
    /// An export with its id existed before.
    Exists,
    /// It is not stored, because its user has as many exports as they may.
    TooMany(CallerQuotas),
}

/// What a store says of an export that it has created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedExport {
    /// What its user has used of their limits since then.
    pub quotas: CallerQuotas,
    /// When the document was written by the store's clock. It changes with each change of the document; `None` for a store
    /// that reads what it changes anyway.
    pub update_time: Option<Timestamp>,
}

impl CreatedExport {
    /// Without a time.
    #[must_use]
    pub fn new(quotas: CallerQuotas) -> Self {
        Self { quotas, update_time: None }
    }
}

/// Reads the collection `exports`.
#[async_trait]
pub trait ExportReader: Send + Sync {
    /// The export with that id.
    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError>;

    /// The export of that job with the latest `started_at`. Documents that cannot be parsed are logged and skipped.
    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError>;

    /// The page of that job's exports after `after`. Documents that cannot be parsed are logged and skipped.
    async fn history(
        &self,
        job: &JobId,
        after: Option<HistoryCursor>,
        size: PageSize,
    ) -> Result<HistoryPage, PortError>;
}

/// Reads and writes the collection `exports`.
#[async_trait]
pub trait Exports: ExportReader {
    /// Stores a new export if its user has fewer exports than `limits`. They are counted in the same transaction. An
    /// existing export stays unchanged.
    async fn create(&self, export: &Export, limits: CallerLimits) -> Result<CreateOutcome, PortError>;

    /// What that user has used of `limits`.
    async fn quotas(&self, user: &UserId, limits: CallerLimits) -> Result<CallerQuotas, PortError>;

    /// Applies [`Export::apply`] to the stored export and returns the new state. No change by others is lost: it is applied
    /// to the state that it replaces. Fields that this service does not know stay unchanged.
    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError>;

    /// As [`apply`](Self::apply), to an export as it was created. A store that has given its `update_time` reads it only if it has
    /// changed since.
    async fn apply_to_created(
        &self,
        export: &Export,
        created: CreatedExport,
        transition: &Transition,
    ) -> Result<(), ApplyError> {
        let _ = created;
        self.apply(export.id, transition).await.map(drop)
    }
}

/// Why a launch failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The job was not started.
    #[error("the export job was not started")]
    NotStarted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The job may have been started, so a retry could run it twice.
    #[error("unknown whether the export job was started")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts and stops the export job: a Cloud Run job or, locally, a process.
#[async_trait]
pub trait JobLauncher: Send + Sync {
    /// Starts the job for that export with the environment variables `EXPORT_ID`, `PROJECT_ID` and, if given,
    /// `HF_TOKEN`, which is the token or, where a key is set, the sealed token.
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError>;

    /// Asks an execution to stop. It may have ended.
    async fn cancel(&self, execution: &ExecutionName) -> Result<(), PortError>;
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The export would fail.
    #[error("{}", failure.message)]
    Refused {
        /// The failure that the export would have.
        failure: Failure,
        /// The field of the request that has to be changed, if it is one.
        field: Option<&'static str>,
    },
    /// The Hugging Face Hub cannot be reached, fails, or limits the rate of requests: asking again later may succeed.
    #[error("{message}")]
    HubUnavailable {
        /// What failed and what to do about it, for people.
        message: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// An external system failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Plans exports: finds out what a job would write, or why it would fail, without starting it.
#[async_trait]
pub trait ExportPlanner: Send + Sync {
    /// The plan of an export of `job` that is not stored.
    async fn plan(
        &self,
        export: &Export,
        job: &TrainingJob,
        hf_token: Option<&SecretString>,
    ) -> Result<Plan, PlanError>;
}

/// Encrypts short texts.
#[async_trait]
pub trait EncryptionKey: Send + Sync {
    /// Encrypts `plaintext` so that it can only be decrypted with the same `context`.
    async fn encrypt(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, PortError>;

    /// The text that was encrypted with this key and that `context`.
    async fn decrypt(&self, ciphertext: &[u8], context: &[u8]) -> Result<Vec<u8>, PortError>;
}

/// The public keys that sign Firebase ID tokens.
#[async_trait]
pub trait TokenKeys: Send + Sync {
    /// The RS256 key with that id; `None` if the issuer currently has no such key.
    async fn key(&self, kid: &str) -> Result<Option<Arc<RsaPublicKey>>, PortError>;
}

/// Creates download links for artifacts.
#[async_trait]
pub trait DownloadLinks: Send + Sync {
    /// An https URL (http on loopback) for that `gs://` or `file://` path. The URL is unguessable and expires after
    /// [`DOWNLOAD_LINK_LIFETIME`]. `None` for a path outside the bucket of downloads.
    async fn link(&self, path: &str) -> Result<Option<String>, PortError>;
}

/// How long a download link is valid.
pub const DOWNLOAD_LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);
