//! The Hub with the caller's token: exports are pushed by [`PushClient`], base models are read by [`HubClient`].

mod model;
mod read_error;

use std::sync::Arc;

use engine::WrittenFile;
use hub_client::{HubCause, HubClient, HubError, HubSettings, RetryMonitor};
use hub_push::{
    ModelCard, PushClient, PushError, PushKind, PushMonitor, PushRequest, PushTarget, PushWording, Refusal,
};
use secrecy::SecretString;
use shared::domain::{ArtifactKind, GgufKind, HubRepo, RepositorySummary, Stage};
use tokio::runtime::Handle;

use super::{ModelFiles, PushDestination};
use crate::{error::JobError, manifest::ManifestFile, progress::ProgressTracker};

/// What the API calls what a message about a push tells a person to change.
const WORDING: PushWording = PushWording {
    token: "hf_token",
    again: "export again",
    reused: ", files already written are reused",
    repository: "hf_repo_id",
    public: "set hf_private to false",
    instead: ", or export to gcs",
};

/// A client with the caller's token, for blocking code.
pub(crate) struct Hub {
    requests: Arc<HubClient>,
    pushes: PushClient,
}

impl Hub {
    pub(crate) fn new(
        settings: &HubSettings,
        token: Option<SecretString>,
        progress: &Arc<ProgressTracker>,
        runtime: Handle,
    ) -> Result<Self, JobError> {
        let unusable = |error: HubError| {
            let (error, endpoint) = (&error as &dyn std::error::Error, &settings.endpoint);
            tracing::error!(error, endpoint, "the client of the Hub cannot be created");
            JobError::Internal(format!(
                "the client of the Hugging Face Hub cannot be created for {endpoint} (HF_ENDPOINT): correct the endpoint"
            ))
        };
        let monitor: Arc<dyn RetryMonitor> = Arc::<ProgressTracker>::clone(progress);
        let requests = HubClient::new(settings, token.clone(), monitor, runtime).map_err(unusable)?;
        let monitor: Arc<dyn PushMonitor> = Arc::<ProgressTracker>::clone(progress);
        let pushes = PushClient::new(&requests, token.as_ref(), monitor).map_err(unusable)?;
        Ok(Self { requests, pushes })
    }

    /// Looks at the repository that an export would be pushed to. Fails as the push would because of what is there, and if the
    /// token is rejected or may not write.
    pub(crate) fn destination(
        &self,
        destination: &PushDestination<'_>,
    ) -> Result<RepositorySummary, JobError> {
        let state = destination.target(&written(destination.files), |target| self.pushes.destination(target));
        let state = state.map_err(of_push)?;
        let (exists, private, may_write) = (state.exists, state.private, state.may_write);
        Ok(RepositorySummary { repo: destination.repo.clone(), exists, private, may_write })
    }

    /// Fails before files are made if an export would be refused because of what is in the repository, or because the token may
    /// not write. What else is wrong with the repository is left to the push.
    pub(crate) fn check_destination(&self, destination: &PushDestination<'_>) -> Result<(), JobError> {
        let files = written(destination.files);
        match destination.target(&files, |target| self.pushes.destination(target)) {
            Ok(_) => Ok(()),
            Err(
                error @ (PushError::Refused { .. } | PushError::NoWriteAccess { .. } | PushError::Stopped),
            ) => Err(of_push(error)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(error, repo = destination.repo.as_str(), "the destination was not read");
                Ok(())
            }
        }
    }

    /// Pushes the files and a model card, and verifies what the Hub then has.
    pub(crate) fn push(
        &self,
        destination: &PushDestination<'_>,
        model: &ModelFiles<'_>,
    ) -> Result<(), JobError> {
        let base_files: Vec<_> = model.base_files.iter().map(|file| file.name.as_str()).collect();
        let card = ModelCard {
            base_model: model.base_model.map(HubRepo::as_str),
            base_files: &base_files,
            description: model.description,
        };
        let pushed = destination.target(&written(destination.files), |target| {
            self.pushes.push(&PushRequest { target: *target, card, folder: Arc::clone(&model.folder) })
        });
        pushed.map(drop).map_err(of_push)
    }
}

impl PushDestination<'_> {
    /// Calls `with` with these files as a target.
    fn target<T>(&self, files: &[WrittenFile], with: impl FnOnce(&PushTarget<'_>) -> T) -> T {
        let kind = match (self.kind, self.gguf_kind) {
            (ArtifactKind::Adapter, _) => PushKind::Adapter,
            (ArtifactKind::Merged, _) => PushKind::Merged,
            (ArtifactKind::Gguf, GgufKind::Model) => PushKind::Gguf,
            (ArtifactKind::Gguf, GgufKind::Lora) => PushKind::LoraGguf,
        };
        with(&PushTarget { repo: self.repo.as_str(), private: self.private, kind, files })
    }
}

impl PushMonitor for ProgressTracker {
    fn begin(&self, message: String, total: u64) {
        self.begin(Stage::Upload, message, total);
    }

    fn advance(&self, bytes: u64) {
        self.advance(bytes);
    }
}

fn written(files: &[ManifestFile]) -> Vec<WrittenFile> {
    let file = |ManifestFile { name, size, sha256 }: ManifestFile| WrittenFile { name, size, sha256 };
    files.iter().cloned().map(file).collect()
}

/// An error of a push, for the record.
fn of_push(error: PushError) -> JobError {
    let message = error.message(&WORDING);
    match error {
        PushError::Refused { reason, .. } => JobError::InvalidInput(message).of_field(match reason {
            Refusal::Public => "hf_private",
            Refusal::FullModel(_) | Refusal::Mmproj { .. } | Refusal::NoXet(_) => "hf_repo_id",
        }),
        PushError::NoWriteAccess { .. } => {
            let source = Box::new(error);
            JobError::Hub { cause: HubCause::Denied, message, wait: None, source }.of_field("hf_token")
        }
        PushError::Hub { cause, ref source, .. } => {
            let wait = source.wait();
            let error = JobError::Hub { cause, message, wait, source: Box::new(error) };
            match cause {
                HubCause::InvalidToken | HubCause::Denied | HubCause::MissingRepository | HubCause::Gated => {
                    error.of_field("hf_token")
                }
                HubCause::Disabled | HubCause::StorageLimit => error.of_field("hf_repo_id"),
                HubCause::Rejected
                | HubCause::MissingRevision
                | HubCause::MissingFile
                | HubCause::Conflict
                | HubCause::RateLimited
                | HubCause::Timeout
                | HubCause::Unavailable => error,
            }
        }
        PushError::Differs { .. } | PushError::LeftOver { .. } => JobError::Interrupted(message),
        PushError::File { file, source } => JobError::bucket("read", &file)(source),
        PushError::Redirected(_) => JobError::Internal(message),
        PushError::Stopped => JobError::Stopped,
    }
}
