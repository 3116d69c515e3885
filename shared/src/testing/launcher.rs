//! A launcher that records what it is asked, and starts nothing.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError, PortError},
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
    cancelled: Mutex<Vec<String>>,
    cancel_fails: AtomicBool,
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

    /// The names of the executions that were cancelled.
    #[must_use]
    pub fn cancelled(&self) -> Vec<String> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes all further cancellations fail.
    pub fn set_cancel_failing(&self) {
        self.cancel_fails.store(true, Ordering::Relaxed);
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

    async fn cancel(&self, execution: &ExecutionName) -> Result<(), PortError> {
        if self.cancel_fails.load(Ordering::Relaxed) {
            return Err(PortError::Unavailable { what: "the launcher", source: "configured failure".into() });
        }
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).push(execution.to_string());
        Ok(())
    }
}
