//! A launcher that starts nothing and remembers everything.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError},
};

/// How a launch is to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The job runs.
    #[default]
    Started,
    /// It certainly does not.
    NotStarted,
    /// Nobody knows.
    Unknown,
    /// The launcher itself breaks.
    Panic,
}

/// One launch that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// For which export.
    pub export: ExportId,
    /// With which token.
    pub hf_token: Option<String>,
}

/// Records launches and answers as told.
#[derive(Debug, Default)]
pub struct RecordingLauncher {
    outcome: Mutex<Outcome>,
    launches: Mutex<Vec<Launch>>,
}

impl RecordingLauncher {
    /// How every launch from now on ends.
    pub fn set_outcome(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    /// What was asked for so far.
    #[must_use]
    pub fn launches(&self) -> Vec<Launch> {
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
        self.launches.lock().unwrap_or_else(PoisonError::into_inner).push(Launch { export, hf_token });
        let outcome = *self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Started => Ok(ExecutionName::new(format!("execution-of-{export}"))),
            Outcome::NotStarted => Err(LaunchError::NotStarted("no such job".into())),
            Outcome::Unknown => Err(LaunchError::Unknown("connection reset".into())),
            Outcome::Panic => panic!("the launcher broke"),
        }
    }
}
