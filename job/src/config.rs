//! The job's settings from its environment. Cloud Run sets `CLOUD_RUN_*`; the launcher sets `EXPORT_ID`, `PROJECT_ID`
//! and `HF_TOKEN`; the rest is the job's own configuration.

use std::time::{Duration, Instant};

use hub_client::HubSettings;
use secrecy::SecretString;
use shared::{
    adapters::storage::Storage,
    config::{ConfigError, FirestoreConfig, Lookup, optional, parsed, required},
    domain::{Claim, ExecutionName, ExportId, ProcessId},
};

use crate::{
    context::{Buckets, Execution, Locations},
    machine::JobMachine,
};

/// The time before the job's limit from which the Hub is no longer waited for: the record of a failure is written in it.
const TIME_TO_FAIL: Duration = Duration::from_secs(60);

/// The settings of the binary.
#[derive(Debug)]
pub struct Settings {
    /// The database of documents.
    pub documents: FirestoreConfig,
    /// Where models are read from and written to.
    pub locations: LocationSettings,
    /// The machine that it runs on: `JOB_CPU` or its processors, `JOB_MEMORY`, `VERIFY_LOGITS` and `JOB_TIMEOUT`.
    pub machine: JobMachine,
    /// `EXPORT_ID`, `CLOUD_RUN_EXECUTION`, `CLOUD_RUN_TASK_ATTEMPT` and `HF_TOKEN`.
    pub execution: Execution,
}

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// Names the setting that is missing or malformed.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut locations = LocationSettings::from(lookup)?;
        let machine = job_machine(lookup)?;
        locations.hub.ends_at =
            machine.timeout.map(|timeout| Instant::now() + timeout.saturating_sub(TIME_TO_FAIL));
        let cpus = match optional(lookup, "JOB_CPU") {
            Some(_) => machine.cpus,
            None => std::thread::available_parallelism().map_or(machine.cpus, |cpus| cpus.get() as f64),
        };
        Ok(Self {
            documents: FirestoreConfig::from(lookup)?,
            locations,
            machine: JobMachine { cpus, ..machine },
            execution: execution(lookup)?,
        })
    }
}

/// The settings of [`Locations`], which the job and the function `plan` share.
#[derive(Debug)]
pub struct LocationSettings {
    /// `GCS_EXPORT_BUCKET_NAME` and `GCS_EXPORT_FILES_BUCKET_NAME`.
    pub buckets: Buckets,
    /// `STORAGE_EMULATOR_HOST`.
    pub storage_emulator: Option<String>,
    /// `BASE_MODELS_URI`, without a trailing slash.
    pub base_models: Option<String>,
    /// `HF_ENDPOINT`.
    pub hub: HubSettings,
}

impl LocationSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the setting that is missing.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let without_slash = |value: String| value.trim_end_matches('/').to_owned();
        Ok(Self {
            buckets: Buckets {
                raw: bucket_url(&required(lookup, "GCS_EXPORT_BUCKET_NAME")?),
                files: bucket_url(&required(lookup, "GCS_EXPORT_FILES_BUCKET_NAME")?),
            },
            storage_emulator: optional(lookup, "STORAGE_EMULATOR_HOST"),
            base_models: optional(lookup, "BASE_MODELS_URI").map(without_slash),
            hub: HubSettings::at(
                optional(lookup, "HF_ENDPOINT").as_deref().unwrap_or(HubSettings::DEFAULT_ENDPOINT),
            ),
        })
    }

    /// The locations in that storage.
    #[must_use]
    pub fn within(self, storage: Storage) -> Locations {
        Locations { storage, buckets: self.buckets, base_models: self.base_models, hub: self.hub }
    }
}

/// Reads the machine of the export job: `JOB_CPU`, `JOB_MEMORY` in GiB (`4Gi`), `VERIFY_LOGITS` and `JOB_TIMEOUT`.
///
/// # Errors
/// Names the setting that is malformed.
pub fn job_machine(lookup: &Lookup<'_>) -> Result<JobMachine, ConfigError> {
    let default = JobMachine::default();
    let gib = |text: String| text.strip_suffix("Gi").unwrap_or(&text).to_owned();
    let memory = |name: &str| lookup(name).map(gib);
    let positive = |name, lookup: &Lookup<'_>, expected| match parsed(lookup, name, expected)? {
        Some(value) if !(f64::MIN_POSITIVE..=f64::MAX).contains(&value) => {
            Err(ConfigError::Malformed { name, expected, value: value.to_string() })
        }
        value => Ok(value),
    };
    Ok(JobMachine {
        cpus: positive("JOB_CPU", lookup, "a number of CPUs")?.unwrap_or(default.cpus),
        memory: positive("JOB_MEMORY", &memory, "GiB, such as 4Gi")?.unwrap_or(default.memory),
        verify_logits: seconds(lookup, "VERIFY_LOGITS", "a number of seconds, 0 for never")?
            .unwrap_or(default.verify_logits),
        timeout: seconds(lookup, "JOB_TIMEOUT", "a number of seconds")?,
    })
}

/// Reads the execution's settings. Outside Cloud Run an execution gets a random name.
///
/// # Errors
/// When `EXPORT_ID` is missing or malformed.
pub fn execution(lookup: &Lookup<'_>) -> Result<Execution, ConfigError> {
    required(lookup, "EXPORT_ID")?;
    let export: Option<ExportId> = parsed(lookup, "EXPORT_ID", "a UUID")?;
    let name =
        optional(lookup, "CLOUD_RUN_EXECUTION").unwrap_or_else(|| format!("by-hand-{}", ExportId::random()));
    Ok(Execution {
        export: export.ok_or(ConfigError::Missing("EXPORT_ID"))?,
        claim: Claim {
            by: ExecutionName::new(name),
            attempt: parsed(lookup, "CLOUD_RUN_TASK_ATTEMPT", "a number")?.unwrap_or(0),
            process: Some(ProcessId::random()),
        },
        hf_token: optional(lookup, "HF_TOKEN").map(SecretString::from).inspect(redaction::register),
    })
}

fn seconds(
    lookup: &Lookup<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<Duration>, ConfigError> {
    let seconds: Option<u32> = parsed(lookup, name, expected)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

/// The URL of a bucket, from its name or URL.
fn bucket_url(name: &str) -> String {
    let name = name.trim_end_matches('/');
    if name.contains("://") { name.to_owned() } else { format!("gs://{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORT: &str = "0b9f8a52-3d0f-4a9e-8c3b-5f0e6f2a7d10";
    const COMPLETE: [(&str, &str); 4] = [
        ("PROJECT_ID", "demo"),
        ("EXPORT_ID", EXPORT),
        ("GCS_EXPORT_BUCKET_NAME", "raw-models"),
        ("GCS_EXPORT_FILES_BUCKET_NAME", "files/"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from(&|name: &str| {
            variables.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_missing_setting_is_named() {
        for missing in COMPLETE.map(|(name, _)| name) {
            let rest: Vec<_> = COMPLETE.into_iter().filter(|(name, _)| *name != missing).collect();
            let error = read(&rest).unwrap_err().to_string();
            assert_eq!(error, format!("{missing} environment variable must be set"));
        }
    }

    #[test]
    fn an_optional_setting_has_a_default() {
        let settings = read(&COMPLETE).unwrap();
        assert_eq!(settings.locations.buckets.raw, "gs://raw-models");
        assert_eq!(settings.locations.hub.endpoint, "https://huggingface.co");
        assert_eq!(settings.execution.claim.attempt, 0);
        assert!(settings.execution.claim.by.as_str().starts_with("by-hand-"));
        assert!(settings.execution.hf_token.is_none() && settings.locations.base_models.is_none());
        let JobMachine { memory, verify_logits, timeout, .. } = settings.machine;
        assert_eq!((memory, verify_logits, timeout), (4.0, JobMachine::VERIFY_LOGITS, None));
    }

    #[test]
    fn verify_logits_is_a_time_in_seconds() {
        let verify = |value| {
            let mut all = COMPLETE.to_vec();
            all.push(("VERIFY_LOGITS", value));
            read(&all).map(|settings| settings.machine.verify_logits).map_err(|error| error.to_string())
        };
        assert_eq!((verify("90"), verify("0")), (Ok(Duration::from_secs(90)), Ok(Duration::ZERO)));
        let error = verify("yes").unwrap_err();
        assert!(error.contains("VERIFY_LOGITS environment variable must be a number of seconds"), "{error}");
    }

    #[test]
    fn the_hub_is_waited_for_until_a_minute_before_the_jobs_limit() {
        let ends_at = |value: Option<&'static str>| {
            let mut all = COMPLETE.to_vec();
            all.extend(value.map(|value| ("JOB_TIMEOUT", value)));
            read(&all).map(|settings| settings.locations.hub.ends_at)
        };
        assert_eq!(ends_at(None).unwrap(), None);
        let left = ends_at(Some("3600")).unwrap().unwrap() - Instant::now();
        assert!((3_500..=3_540).contains(&left.as_secs()), "{left:?}");
        assert!(ends_at(Some("1h")).unwrap_err().to_string().contains("a number of seconds"));
    }

    #[test]
    fn an_execution_is_identified_by_its_name_and_attempt() {
        let mut all = COMPLETE.to_vec();
        all.extend([
            ("CLOUD_RUN_EXECUTION", "export-job-x7"),
            ("CLOUD_RUN_TASK_ATTEMPT", "2"),
            ("HF_TOKEN", "hf_secret"),
        ]);
        let settings = read(&all).unwrap();
        assert_eq!(settings.execution.claim.by.as_str(), "export-job-x7");
        assert_eq!(settings.execution.claim.attempt, 2);
        assert!(!format!("{settings:?}").contains("hf_secret"));
        all.push(("EXPORT_ID", "7"));
        assert!(
            read(&all).unwrap_err().to_string().contains("EXPORT_ID environment variable must be a UUID")
        );
    }
}
