//! Settings from environment variables: one small struct per concern. The lookup is a parameter, so tests do not change
//! the environment. A missing or malformed setting stops the process at start, with the name of the variable.

use std::{fmt::Display, num::NonZeroU16, path::PathBuf, str::FromStr};

use crate::domain::CallerLimits;

/// Looks up a variable. An empty value counts as unset.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A setting with which the process cannot start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is unset.
    #[error("{0} environment variable must be set")]
    Missing(&'static str),
    /// A variable has an invalid value.
    #[error("{name} environment variable must be {expected}, not {value:?}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// The expected format.
        expected: &'static str,
        /// The value.
        value: String,
    },
    /// An emulator variable, which disables token verification, is set in production.
    #[error("{emulator} must not be set together with {production}: it disables token verification")]
    EmulatorInProduction {
        /// The variable to unset.
        emulator: &'static str,
        /// The variable that marks production.
        production: &'static str,
    },
    /// The file `.env` cannot be read.
    #[error(".env: {0}")]
    DotEnv(String),
}

/// Variables that Cloud Run and Lambda set.
const PRODUCTION: [&str; 3] = ["K_SERVICE", "CLOUD_RUN_JOB", "AWS_LAMBDA_FUNCTION_NAME"];

/// Loads `.env` into the environment, except in production. Variables that are already set stay. Call it first in
/// `main`.
///
/// # Errors
/// If the file exists and cannot be read.
pub fn load_dotenv() -> Result<(), ConfigError> {
    if deployed(&process).is_some() {
        return Ok(());
    }
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::LineParse(..)) => Err(ConfigError::DotEnv("a line is not NAME=value".to_owned())),
        Err(error) => Err(ConfigError::DotEnv(error.to_string())),
    }
}

/// Looks up a variable of the process environment.
#[must_use]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variable that marks production, if one is set.
#[must_use]
pub fn deployed(lookup: &Lookup<'_>) -> Option<&'static str> {
    PRODUCTION.into_iter().find(|name| optional(lookup, name).is_some())
}

/// An optional setting.
#[must_use]
pub fn optional(lookup: &Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A required setting.
///
/// # Errors
/// [`ConfigError::Missing`].
pub fn required(lookup: &Lookup<'_>, name: &'static str) -> Result<String, ConfigError> {
    optional(lookup, name).ok_or(ConfigError::Missing(name))
}

/// An optional setting, parsed as `T`.
///
/// # Errors
/// [`ConfigError::Malformed`].
pub fn parsed<T: FromStr<Err: Display>>(
    lookup: &Lookup<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = optional(lookup, name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| ConfigError::Malformed { name, expected, value })
}

/// An optional http or https URL.
fn url(lookup: &Lookup<'_>, name: &'static str) -> Result<Option<url::Url>, ConfigError> {
    let expected = "an http or https URL";
    let Some(url) = parsed::<url::Url>(lookup, name, expected)? else { return Ok(None) };
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(Some(url))
    } else {
        Err(ConfigError::Malformed { name, expected, value: url.into() })
    }
}

/// The address that a function listens on.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// `PORT`; default 8080.
    pub port: u16,
}

impl ListenConfig {
    /// Reads `PORT`.
    ///
    /// # Errors
    /// If it is not a port number.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self { port: parsed(lookup, "PORT", "a port number")?.unwrap_or(8080) })
    }
}

/// The Firebase project that issues ID tokens, and its keys.
#[derive(Debug, PartialEq, Eq)]
pub struct FirebaseConfig {
    /// `PROJECT_ID`.
    pub project_id: String,
    /// `FIREBASE_KEYS_URL`; default is Google's endpoint.
    pub keys_url: Option<url::Url>,
    /// Whether `FIREBASE_AUTH_EMULATOR_HOST` is set. The emulator issues unsigned tokens.
    pub emulated: bool,
    /// `APP_CHECK_PROJECT_NUMBER`: the project's number, if requests need an App Check token.
    pub app_check: Option<u64>,
}

impl FirebaseConfig {
    /// Reads `PROJECT_ID`, `FIREBASE_KEYS_URL`, `FIREBASE_AUTH_EMULATOR_HOST` and `APP_CHECK_PROJECT_NUMBER`.
    ///
    /// # Errors
    /// If the emulator is set in production, or a setting is missing or malformed.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let emulator = "FIREBASE_AUTH_EMULATOR_HOST";
        let emulated = optional(lookup, emulator).is_some();
        if let (true, Some(production)) = (emulated, deployed(lookup)) {
            return Err(ConfigError::EmulatorInProduction { emulator, production });
        }
        let keys_url = url(lookup, "FIREBASE_KEYS_URL")?;
        let app_check = parsed(lookup, "APP_CHECK_PROJECT_NUMBER", "the project's number")?;
        Ok(Self { project_id: required(lookup, "PROJECT_ID")?, keys_url, emulated, app_check })
    }
}

/// The Firestore database.
#[derive(Debug, PartialEq, Eq)]
pub struct FirestoreConfig {
    /// `PROJECT_ID`.
    pub project_id: String,
    /// `FIRESTORE_DB`; default `(default)`.
    pub database: String,
}

impl FirestoreConfig {
    /// Reads `PROJECT_ID` and `FIRESTORE_DB`.
    ///
    /// # Errors
    /// If `PROJECT_ID` is missing.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            project_id: required(lookup, "PROJECT_ID")?,
            database: optional(lookup, "FIRESTORE_DB").unwrap_or_else(|| "(default)".to_owned()),
        })
    }
}

/// The Cloud Run job that runs exports.
#[derive(Debug, PartialEq, Eq)]
pub struct CloudRunConfig {
    /// `PROJECT_ID`.
    pub project_id: String,
    /// `REGION`; default `us-central1`.
    pub region: String,
    /// `EXPORT_JOB_NAME`; default `export-job`.
    pub job_name: String,
    /// `CLOUD_RUN_ENDPOINT`: a fake server, which is called without credentials.
    pub endpoint: Option<url::Url>,
}

impl CloudRunConfig {
    /// Reads `PROJECT_ID`, `REGION`, `EXPORT_JOB_NAME` and `CLOUD_RUN_ENDPOINT`.
    ///
    /// # Errors
    /// If a setting is missing or malformed.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            project_id: required(lookup, "PROJECT_ID")?,
            region: optional(lookup, "REGION").unwrap_or_else(|| "us-central1".to_owned()),
            job_name: optional(lookup, "EXPORT_JOB_NAME").unwrap_or_else(|| "export-job".to_owned()),
            endpoint: url(lookup, "CLOUD_RUN_ENDPOINT")?,
        })
    }
}

/// The key of Cloud KMS that seals the callers' Hub tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct KmsConfig {
    /// `HF_TOKEN_KEY`, the key's resource name.
    pub key: String,
    /// `KMS_ENDPOINT`: a fake server, which is called without credentials.
    pub endpoint: Option<url::Url>,
}

impl KmsConfig {
    /// Reads `HF_TOKEN_KEY` and `KMS_ENDPOINT`; `None` if there is no key.
    ///
    /// # Errors
    /// If a setting is malformed.
    pub fn from(lookup: &Lookup<'_>) -> Result<Option<Self>, ConfigError> {
        let name = "HF_TOKEN_KEY";
        let Some(key) = optional(lookup, name) else { return Ok(None) };
        let parts: Vec<&str> = key.split('/').collect();
        let is_key = matches!(
            parts[..],
            ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key]
                if [project, location, ring, key].iter().all(|part| !part.is_empty())
        );
        if !is_key {
            let expected = "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY";
            return Err(ConfigError::Malformed { name, expected, value: key });
        }
        Ok(Some(Self { key, endpoint: url(lookup, "KMS_ENDPOINT")? }))
    }
}

/// The bucket of files that users download.
#[derive(Debug, PartialEq, Eq)]
pub struct DownloadsConfig {
    /// `GCS_EXPORT_FILES_BUCKET_NAME`.
    pub bucket: String,
    /// `STORAGE_EMULATOR_HOST`.
    pub emulator: Option<String>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, which Google's clients also read. Unset on Google Cloud.
    pub credentials: Option<PathBuf>,
}

impl DownloadsConfig {
    /// Reads `GCS_EXPORT_FILES_BUCKET_NAME`, `STORAGE_EMULATOR_HOST` and `GOOGLE_APPLICATION_CREDENTIALS`.
    ///
    /// # Errors
    /// If the bucket is missing.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            bucket: required(lookup, "GCS_EXPORT_FILES_BUCKET_NAME")?,
            emulator: optional(lookup, "STORAGE_EMULATOR_HOST"),
            credentials: optional(lookup, "GOOGLE_APPLICATION_CREDENTIALS").map(Into::into),
        })
    }
}

/// How long the records of exports are kept.
#[derive(Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// `EXPORT_RETENTION_DAYS`: days after the end of an export; default 365. `None` for 0: no record is deleted.
    pub days: Option<NonZeroU16>,
}

impl RetentionConfig {
    /// Reads `EXPORT_RETENTION_DAYS`.
    ///
    /// # Errors
    /// If it is not a number of days.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let expected = "a number of days from 1 to 65535, or 0 to keep the records";
        let days = parsed(lookup, "EXPORT_RETENTION_DAYS", expected)?.unwrap_or(365);
        Ok(Self { days: NonZeroU16::new(days) })
    }
}

/// The function `list`, to which `create` forwards `GET /exports`.
#[derive(Debug, PartialEq, Eq)]
pub struct ListServiceConfig {
    /// `LIST_URL`: the base URL of `list`.
    pub list_url: Option<url::Url>,
    /// Whether to send an identity token. Cloud Run requires one in production.
    pub with_identity: bool,
}

impl ListServiceConfig {
    /// Reads `LIST_URL`.
    ///
    /// # Errors
    /// If it is not a URL.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self { list_url: url(lookup, "LIST_URL")?, with_identity: deployed(lookup).is_some() })
    }
}

/// Reads `MAX_RUNNING_EXPORTS` and `MAX_DAILY_EXPORTS`, the limits of each caller.
///
/// # Errors
/// If one is not a number.
pub fn caller_limits(lookup: &Lookup<'_>) -> Result<CallerLimits, ConfigError> {
    let limit = |name, default| Ok(parsed(lookup, name, "a number, or 0 for no limit")?.unwrap_or(default));
    let CallerLimits { running, daily } = CallerLimits::default();
    Ok(CallerLimits {
        running: limit("MAX_RUNNING_EXPORTS", running)?,
        daily: limit("MAX_DAILY_EXPORTS", daily)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let all: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        move |name| all.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn an_error_names_the_missing_variable() {
        let nothing = set(&[("PROJECT_ID", " ")]);
        for error in [
            FirebaseConfig::from(&nothing).unwrap_err(),
            FirestoreConfig::from(&nothing).unwrap_err(),
            CloudRunConfig::from(&nothing).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), "PROJECT_ID environment variable must be set");
        }
        let error = DownloadsConfig::from(&nothing).unwrap_err();
        assert_eq!(error.to_string(), "GCS_EXPORT_FILES_BUCKET_NAME environment variable must be set");
    }

    #[test]
    fn an_error_names_the_malformed_variable() {
        for port in ["http", "-1", "65536", "80 80"] {
            let error = ListenConfig::from(&set(&[("PORT", port)])).unwrap_err().to_string();
            assert_eq!(error, format!("PORT environment variable must be a port number, not {port:?}"));
        }
        for url in ["list", "list:8080", "ftp://list", "/exports"] {
            let error = ListServiceConfig::from(&set(&[("LIST_URL", url)])).unwrap_err().to_string();
            assert!(
                error.starts_with("LIST_URL environment variable must be an http or https URL"),
                "{error}"
            );
        }
    }

    #[test]
    fn omitted_variables_have_defaults() {
        let only = set(&[("PROJECT_ID", "demo")]);
        assert_eq!(ListenConfig::from(&only).unwrap(), ListenConfig { port: 8080 });
        assert_eq!(FirestoreConfig::from(&only).unwrap().database, "(default)");
        let launch = CloudRunConfig::from(&only).unwrap();
        assert_eq!((launch.region.as_str(), launch.job_name.as_str()), ("us-central1", "export-job"));
        assert_eq!((launch.endpoint, ListServiceConfig::from(&only).unwrap().list_url), (None, None));
        assert_eq!(RetentionConfig::from(&only).unwrap().days, NonZeroU16::new(365));
    }

    #[test]
    fn app_check_needs_the_number_of_the_project() {
        let number =
            |text| FirebaseConfig::from(&set(&[("PROJECT_ID", "demo"), ("APP_CHECK_PROJECT_NUMBER", text)]));
        assert_eq!(number("").unwrap().app_check, None);
        assert_eq!(number("123456789012").unwrap().app_check, Some(123_456_789_012));
        let error = number("demo-export").unwrap_err().to_string();
        assert!(error.starts_with("APP_CHECK_PROJECT_NUMBER environment variable must be"), "{error}");
    }

    #[test]
    fn a_retention_of_0_days_keeps_the_records() {
        let days = |text| RetentionConfig::from(&set(&[("EXPORT_RETENTION_DAYS", text)]));
        assert_eq!(days("0").unwrap().days, None);
        assert_eq!(days("30").unwrap().days, NonZeroU16::new(30));
        for text in ["-1", "65536", "a year"] {
            let error = days(text).unwrap_err().to_string();
            assert!(
                error.starts_with("EXPORT_RETENTION_DAYS environment variable must be a number"),
                "{error}"
            );
        }
    }

    #[test]
    fn callers_have_limits_by_default() {
        let limits = |variables| caller_limits(&set(variables));
        assert_eq!(limits(&[]).unwrap(), CallerLimits { running: 3, daily: 50 });
        let zero = limits(&[("MAX_RUNNING_EXPORTS", "0"), ("MAX_DAILY_EXPORTS", "7")]).unwrap();
        assert_eq!(zero, CallerLimits { running: 0, daily: 7 });
        let error = limits(&[("MAX_DAILY_EXPORTS", "-1")]).unwrap_err().to_string();
        assert!(
            error.starts_with("MAX_DAILY_EXPORTS environment variable must be a number, or 0"),
            "{error}"
        );
    }

    #[test]
    fn the_auth_emulator_is_rejected_in_production() {
        let host = ("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099");
        assert!(FirebaseConfig::from(&set(&[("PROJECT_ID", "demo"), host])).unwrap().emulated);
        for production in PRODUCTION {
            let error =
                FirebaseConfig::from(&set(&[("PROJECT_ID", "demo"), host, (production, "x")])).unwrap_err();
            assert!(matches!(error, ConfigError::EmulatorInProduction { .. }), "{production}");
            assert!(error.to_string().contains(production));
        }
    }
}
