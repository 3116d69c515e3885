//! A launcher that records launches and starts nothing.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError},
};

/// The outcome of a launch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LaunchOutcome {
    /// The job is started.
    #[default]
    Started,
    /// The job is not started.
    NotStarted,
    /// It is unknown whether the job is started.
    Unknown,
    /// The launcher panics.
    Panic,
}

/// A recorded launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLaunch {
    /// The export.
    pub export: ExportId,
    /// The access token of the Hub.
    pub hf_token: Option<String>,
}

/// Records launches and returns a configurable outcome.
#[derive(Debug, Default)]
pub struct RecordingLauncher {
    outcome: Mutex<LaunchOutcome>,
    launches: Mutex<Vec<RecordedLaunch>>,
}

impl RecordingLauncher {
    /// Sets the outcome of all further launches.
    pub fn set_outcome(&self, outcome: LaunchOutcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    /// The recorded launches.
    #[must_use]
    pub fn launches(&self) -> Vec<RecordedLaunch> {
        self.launches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl JobLauncher for RecordingLauncher {
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError> {
        let hf_token = hf_token.map(|token| token.expose_secret().to_owned());
        self.launches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(RecordedLaunch { export, hf_token });
        let outcome = *self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            LaunchOutcome::Started => Ok(ExecutionName::new(format!("execution-of-{export}"))),
            LaunchOutcome::NotStarted => Err(LaunchError::NotStarted("no such job".into())),
            LaunchOutcome::Unknown => Err(LaunchError::Unknown("connection reset".into())),
            LaunchOutcome::Panic => panic!("the launcher panicked"),
        }
    }
}
