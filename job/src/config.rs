//! The job's settings. Cloud Run sets `CLOUD_RUN_*`; the launcher sets `EXPORT_ID`, `PROJECT_ID` and `HF_TOKEN`; the
//! rest belongs to the job's own configuration.

use secrecy::SecretString;
use shared::{
    config::{ConfigError, FirestoreConfig, Lookup, optional, parsed, required},
    domain::{Claim, ExecutionName, ExportId, ProcessId},
};

use crate::context::{Buckets, Execution, HubSettings};

/// What the binary reads from its environment.
#[derive(Debug)]
pub struct Settings {
    /// Where documents are.
    pub documents: FirestoreConfig,
    /// `GCS_EXPORT_BUCKET_NAME` and `GCS_EXPORT_FILES_BUCKET_NAME`.
    pub buckets: Buckets,
    /// `STORAGE_EMULATOR_HOST`.
    pub storage_emulator: Option<String>,
    /// `BASE_MODELS_URI`, without a slash at the end.
    pub base_models: Option<String>,
    /// `VERIFY_LOGITS`: whether predictions are compared.
    pub verify_logits: bool,
    /// `HF_ENDPOINT`.
    pub hub: HubSettings,
    /// `EXPORT_ID`, `CLOUD_RUN_EXECUTION`, `CLOUD_RUN_TASK_ATTEMPT` and `HF_TOKEN`.
    pub execution: Execution,
}

impl Settings {
    /// Reads all of them.
    ///
    /// # Errors
    /// When one is missing or malformed, by its name.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let url = |value: String| value.trim_end_matches('/').to_owned();
        Ok(Self {
            documents: FirestoreConfig::from(lookup)?,
            buckets: Buckets {
                raw: bucket(&required(lookup, "GCS_EXPORT_BUCKET_NAME")?),
                files: bucket(&required(lookup, "GCS_EXPORT_FILES_BUCKET_NAME")?),
            },
            storage_emulator: optional(lookup, "STORAGE_EMULATOR_HOST"),
            base_models: optional(lookup, "BASE_MODELS_URI").map(url),
            verify_logits: switch(lookup, "VERIFY_LOGITS")?,
            hub: HubSettings::at(
                optional(lookup, "HF_ENDPOINT").as_deref().unwrap_or(HubSettings::DEFAULT_ENDPOINT),
            ),
            execution: execution(lookup)?,
        })
    }
}

/// The execution that the environment describes. Outside Cloud Run it has no name, so it gets one of its own.
///
/// # Errors
/// When `EXPORT_ID` is missing or malformed.
pub fn execution(lookup: &Lookup<'_>) -> Result<Execution, ConfigError> {
    required(lookup, "EXPORT_ID")?;
    let export: Option<ExportId> = parsed(lookup, "EXPORT_ID", "a UUID")?;
    let by =
        optional(lookup, "CLOUD_RUN_EXECUTION").unwrap_or_else(|| format!("by-hand-{}", ExportId::random()));
    Ok(Execution {
        export: export.ok_or(ConfigError::Missing("EXPORT_ID"))?,
        claim: Claim {
            by: ExecutionName::new(by),
            attempt: parsed(lookup, "CLOUD_RUN_TASK_ATTEMPT", "a number")?.unwrap_or(0),
            process: Some(ProcessId::random()),
        },
        hf_token: optional(lookup, "HF_TOKEN").map(SecretString::from),
    })
}

/// A setting that is 1 or 0, which it is when it is left out.
fn switch(lookup: &Lookup<'_>, name: &'static str) -> Result<bool, ConfigError> {
    match optional(lookup, name).as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(value) => Err(ConfigError::Malformed { name, expected: "1 or 0", value: value.to_owned() }),
    }
}

/// A bucket's name as a URL; a URL stays as it is.
fn bucket(name: &str) -> String {
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
    fn what_is_missing_is_named() {
        for missing in COMPLETE.map(|(name, _)| name) {
            let rest: Vec<_> = COMPLETE.into_iter().filter(|(name, _)| *name != missing).collect();
            let error = read(&rest).unwrap_err().to_string();
            assert_eq!(error, format!("{missing} environment variable must be set"));
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let settings = read(&COMPLETE).unwrap();
        assert_eq!(settings.buckets.raw, "gs://raw-models");
        assert_eq!(settings.hub.endpoint, "https://huggingface.co");
        assert_eq!(settings.execution.claim.attempt, 0);
        assert!(settings.execution.claim.by.as_str().starts_with("by-hand-"));
        assert!(settings.execution.hf_token.is_none() && settings.base_models.is_none());
        assert!(!settings.verify_logits);
    }

    #[test]
    fn predictions_are_compared_where_that_is_asked_for() {
        let verify = |value| {
            let mut all = COMPLETE.to_vec();
            all.push(("VERIFY_LOGITS", value));
            read(&all).map(|settings| settings.verify_logits).map_err(|error| error.to_string())
        };
        assert_eq!((verify("1"), verify("0")), (Ok(true), Ok(false)));
        assert!(verify("yes").unwrap_err().contains("VERIFY_LOGITS environment variable must be 1 or 0"));
    }

    #[test]
    fn an_execution_is_known_by_its_name_and_attempt() {
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
