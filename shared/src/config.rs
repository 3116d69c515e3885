//! Settings: one small struct per concern, whose fields name their variables. The lookup is a parameter, so tests set
//! no environment. What is missing or malformed fails at start, by name.

use std::{fmt::Display, path::PathBuf, str::FromStr};

/// Where settings come from; an empty value counts as not set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A setting that keeps the process from starting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is required.
    #[error("{0} environment variable must be set")]
    Missing(&'static str),
    /// It is not what it must be.
    #[error("{name} environment variable must be {expected}, not {value:?}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
    /// It turns off a check that production must not do without.
    #[error("{emulator} must not be set where {production} is: it would let anybody in")]
    EmulatorInProduction {
        /// The variable to unset.
        emulator: &'static str,
        /// What tells that this is production.
        production: &'static str,
    },
    /// The file cannot be read.
    #[error(".env: {0}")]
    DotEnv(String),
}

/// Variables that the platforms set on what is deployed.
const PRODUCTION: [&str; 3] = ["K_SERVICE", "CLOUD_RUN_JOB", "AWS_LAMBDA_FUNCTION_NAME"];

/// Reads `.env` into the environment where nothing is deployed; what is set already stays. Call it before anything
/// else runs.
///
/// # Errors
/// When the file is there and cannot be read.
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

/// The process's own environment.
#[must_use]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Which variable tells that this process is deployed, if one does.
#[must_use]
pub fn deployed(lookup: &Lookup<'_>) -> Option<&'static str> {
    PRODUCTION.into_iter().find(|name| optional(lookup, name).is_some())
}

/// A setting that may be left out.
#[must_use]
pub fn optional(lookup: &Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A setting that must be there.
///
/// # Errors
/// [`ConfigError::Missing`].
pub fn required(lookup: &Lookup<'_>, name: &'static str) -> Result<String, ConfigError> {
    optional(lookup, name).ok_or(ConfigError::Missing(name))
}

/// A setting that may be left out, of a type.
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

/// A setting that is an http or https URL, and may be left out.
fn url(lookup: &Lookup<'_>, name: &'static str) -> Result<Option<url::Url>, ConfigError> {
    let expected = "an http or https URL";
    let Some(url) = parsed::<url::Url>(lookup, name, expected)? else { return Ok(None) };
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(Some(url))
    } else {
        Err(ConfigError::Malformed { name, expected, value: url.into() })
    }
}

/// Where the function listens.
#[derive(Debug, PartialEq, Eq)]
pub struct Listen {
    /// `PORT`; 8080 unless set.
    pub port: u16,
}

impl Listen {
    /// Reads `PORT`.
    ///
    /// # Errors
    /// When it is not a port.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self { port: parsed(lookup, "PORT", "a port number")?.unwrap_or(8080) })
    }
}

/// Whose tokens are taken, and whose keys sign them.
#[derive(Debug, PartialEq, Eq)]
pub struct Firebase {
    /// `PROJECT_ID`.
    pub project_id: String,
    /// `FIREBASE_KEYS_URL`; Google's unless set.
    pub keys_url: Option<url::Url>,
    /// Whether `FIREBASE_AUTH_EMULATOR_HOST` is set: tokens are unsigned then.
    pub emulated: bool,
}

impl Firebase {
    /// Reads `PROJECT_ID`, `FIREBASE_KEYS_URL` and `FIREBASE_AUTH_EMULATOR_HOST`.
    ///
    /// # Errors
    /// When the emulator is named in production, or a setting is missing or malformed.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let emulator = "FIREBASE_AUTH_EMULATOR_HOST";
        let emulated = optional(lookup, emulator).is_some();
        if let (true, Some(production)) = (emulated, deployed(lookup)) {
            return Err(ConfigError::EmulatorInProduction { emulator, production });
        }
        let keys_url = url(lookup, "FIREBASE_KEYS_URL")?;
        Ok(Self { project_id: required(lookup, "PROJECT_ID")?, keys_url, emulated })
    }
}

/// Where documents are.
#[derive(Debug, PartialEq, Eq)]
pub struct Documents {
    /// `PROJECT_ID`.
    pub project_id: String,
    /// `FIRESTORE_DB`; `(default)` unless set.
    pub database: String,
}

impl Documents {
    /// Reads `PROJECT_ID` and `FIRESTORE_DB`.
    ///
    /// # Errors
    /// When `PROJECT_ID` is missing.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            project_id: required(lookup, "PROJECT_ID")?,
            database: optional(lookup, "FIRESTORE_DB").unwrap_or_else(|| "(default)".to_owned()),
        })
    }
}

/// Which job works on exports.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// `PROJECT_ID`.
    pub project_id: String,
    /// `REGION`; us-central1 unless set.
    pub region: String,
    /// `EXPORT_JOB_NAME`; export-job unless set.
    pub job_name: String,
    /// `CLOUD_RUN_ENDPOINT`, for a stand-in without credentials.
    pub endpoint: Option<url::Url>,
}

impl Launch {
    /// Reads `PROJECT_ID`, `REGION`, `EXPORT_JOB_NAME` and `CLOUD_RUN_ENDPOINT`.
    ///
    /// # Errors
    /// When a setting is missing or malformed.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            project_id: required(lookup, "PROJECT_ID")?,
            region: optional(lookup, "REGION").unwrap_or_else(|| "us-central1".to_owned()),
            job_name: optional(lookup, "EXPORT_JOB_NAME").unwrap_or_else(|| "export-job".to_owned()),
            endpoint: url(lookup, "CLOUD_RUN_ENDPOINT")?,
        })
    }
}

/// Where the files are that people download.
#[derive(Debug, PartialEq, Eq)]
pub struct Downloads {
    /// `GCS_EXPORT_FILES_BUCKET_NAME`.
    pub bucket: String,
    /// `STORAGE_EMULATOR_HOST`.
    pub emulator: Option<String>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, which Google's clients read, too; not set on Google Cloud.
    pub credentials: Option<PathBuf>,
}

impl Downloads {
    /// Reads `GCS_EXPORT_FILES_BUCKET_NAME`, `STORAGE_EMULATOR_HOST` and `GOOGLE_APPLICATION_CREDENTIALS`.
    ///
    /// # Errors
    /// When the bucket is missing.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            bucket: required(lookup, "GCS_EXPORT_FILES_BUCKET_NAME")?,
            emulator: optional(lookup, "STORAGE_EMULATOR_HOST"),
            credentials: optional(lookup, "GOOGLE_APPLICATION_CREDENTIALS").map(Into::into),
        })
    }
}

/// Who answers `GET /exports` where one name stands for both methods.
#[derive(Debug, PartialEq, Eq)]
pub struct Forward {
    /// `LIST_URL`: the base URL of `list`.
    pub list_url: Option<url::Url>,
    /// Whether `list` asks who calls it: where it is deployed, its platform does.
    pub with_identity: bool,
}

impl Forward {
    /// Reads `LIST_URL`.
    ///
    /// # Errors
    /// When it is not a URL.
    pub fn from(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Self { list_url: url(lookup, "LIST_URL")?, with_identity: deployed(lookup).is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let all: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        move |name| all.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn what_is_missing_is_named() {
        let nothing = set(&[("PROJECT_ID", " ")]);
        for error in [
            Firebase::from(&nothing).unwrap_err(),
            Documents::from(&nothing).unwrap_err(),
            Launch::from(&nothing).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), "PROJECT_ID environment variable must be set");
        }
        let error = Downloads::from(&nothing).unwrap_err();
        assert_eq!(error.to_string(), "GCS_EXPORT_FILES_BUCKET_NAME environment variable must be set");
    }

    #[test]
    fn what_is_malformed_is_named() {
        for port in ["http", "-1", "65536", "80 80"] {
            let error = Listen::from(&set(&[("PORT", port)])).unwrap_err().to_string();
            assert_eq!(error, format!("PORT environment variable must be a port number, not {port:?}"));
        }
        for url in ["list", "list:8080", "ftp://list", "/exports"] {
            let error = Forward::from(&set(&[("LIST_URL", url)])).unwrap_err().to_string();
            assert!(
                error.starts_with("LIST_URL environment variable must be an http or https URL"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let only = set(&[("PROJECT_ID", "demo")]);
        assert_eq!(Listen::from(&only).unwrap(), Listen { port: 8080 });
        assert_eq!(Documents::from(&only).unwrap().database, "(default)");
        let launch = Launch::from(&only).unwrap();
        assert_eq!((launch.region.as_str(), launch.job_name.as_str()), ("us-central1", "export-job"));
        assert_eq!((launch.endpoint, Forward::from(&only).unwrap().list_url), (None, None));
    }

    #[test]
    fn the_auth_emulator_is_refused_in_production() {
        let host = ("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099");
        assert!(Firebase::from(&set(&[("PROJECT_ID", "demo"), host])).unwrap().emulated);
        for production in PRODUCTION {
            let error = Firebase::from(&set(&[("PROJECT_ID", "demo"), host, (production, "x")])).unwrap_err();
            assert!(matches!(error, ConfigError::EmulatorInProduction { .. }), "{production}");
            assert!(error.to_string().contains(production));
        }
    }
}
