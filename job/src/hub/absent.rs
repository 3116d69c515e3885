//! In place of the client, in a build without it.

use std::sync::Arc;

use hub_client::HubSettings;
use secrecy::SecretString;
use shared::domain::{ArtifactKind, HubRepo, RepositorySummary};
use tokio::runtime::Handle;

use super::PushRequest;
use crate::{error::JobError, input_folder::InputFolder, manifest::ManifestFile, progress::ProgressTracker};

/// Never made: whoever asks for one is told what to do.
pub(crate) enum AbsentHub {}

impl AbsentHub {
    pub(crate) fn new(
        _settings: &HubSettings,
        _token: Option<SecretString>,
        _progress: &Arc<ProgressTracker>,
        _runtime: Handle,
    ) -> Result<Arc<Self>, JobError> {
        Err(JobError::InvalidInput(
            "this build has no client of the Hugging Face Hub, which takes minutes to compile: start the local stack with \
             `cargo run --package local --features hub -- serve`"
                .to_owned(),
        ))
    }

    pub(crate) fn check_destination(
        &self,
        _repo: &HubRepo,
        _private: bool,
        _kind: ArtifactKind,
        _files: &[ManifestFile],
    ) -> Result<(), JobError> {
        match *self {}
    }

    pub(crate) fn destination(
        &self,
        _repo: &HubRepo,
        _private: bool,
        _kind: ArtifactKind,
        _files: &[ManifestFile],
    ) -> Result<RepositorySummary, JobError> {
        match *self {}
    }

    pub(crate) fn model(&self, _repo: &HubRepo, _revision: Option<&str>) -> Result<InputFolder, JobError> {
        match *self {}
    }

    pub(crate) fn push(&self, _request: &PushRequest<'_>) -> Result<(), JobError> {
        match *self {}
    }
}
