//! In place of the client, in a build without it.

use std::sync::Arc;

use hub_client::HubSettings;
use secrecy::SecretString;
use shared::domain::{HubRepo, RepositorySummary};
use tokio::runtime::Handle;

use super::{ModelFiles, PushDestination};
use crate::{error::JobError, input_folder::InputFolder, progress::ProgressTracker};

/// Never made: whoever asks for one is told what to do.
pub(crate) enum AbsentHub {}

impl AbsentHub {
    pub(crate) fn new(
        _settings: &HubSettings,
        _token: Option<SecretString>,
        _progress: &Arc<ProgressTracker>,
        _runtime: Handle,
    ) -> Result<Self, JobError> {
        Err(JobError::InvalidInput(
            "this build has no client of the Hugging Face Hub, which takes minutes to compile: start the local stack with \
             `cargo run --package local --features hub -- serve`"
                .to_owned(),
        ))
    }

    pub(crate) fn check_destination(&self, _destination: &PushDestination<'_>) -> Result<(), JobError> {
        match *self {}
    }

    pub(crate) fn destination(
        &self,
        _destination: &PushDestination<'_>,
    ) -> Result<RepositorySummary, JobError> {
        match *self {}
    }

    pub(crate) fn model(&self, _repo: &HubRepo, _revision: Option<&str>) -> Result<InputFolder, JobError> {
        match *self {}
    }

    pub(crate) fn push(
        &self,
        _destination: &PushDestination<'_>,
        _model: &ModelFiles<'_>,
    ) -> Result<(), JobError> {
        match *self {}
    }
}
