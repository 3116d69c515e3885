//! Logs to standard output: one JSON object per line in production, compact text elsewhere. `RUST_LOG` is the filter.
//!
//! Fields of the JSON: <https://cloud.google.com/logging/docs/structured-logging>.

mod cloud;
mod redacting_writer;
mod request;

pub use redacting_writer::RedactingWriter;
pub use request::{RequestTags, current, in_request};

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{self, ConfigError, Lookup};

/// The format of log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON for Cloud Logging. With a project, trace ids from request headers become links to traces.
    Json {
        /// `PROJECT_ID`.
        project: Option<String>,
    },
    /// Text for people.
    Compact,
}

impl LogFormat {
    /// JSON in production, else compact text.
    #[must_use]
    pub fn from(lookup: &Lookup<'_>) -> Self {
        match config::deployed(lookup) {
            Some(_) => Self::Json { project: config::optional(lookup, "PROJECT_ID") },
            None => Self::Compact,
        }
    }
}

/// Starts logging to standard output, including panics. Default filter: `info`, and `warn` for libraries.
///
/// # Errors
/// If `RUST_LOG` is not a valid filter.
pub fn init(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    let name = "RUST_LOG";
    let value = config::optional(lookup, name)
        .unwrap_or_else(|| "info,firestore=warn,hf_hub::retry=off,hyper=warn".to_owned());
    let expected = "a filter such as info or shared=debug";
    let filter = value.parse::<Targets>().map_err(|_| ConfigError::Malformed {
        name,
        expected,
        value: value.clone(),
    })?;
    // Fails if a subscriber is already installed, as in tests; that one stays.
    let _ = subscriber(LogFormat::from(lookup), std::io::stdout).with(filter).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic.location = location, "{}", panic.payload_as_str().unwrap_or("panic"));
    }));
    Ok(())
}

/// A subscriber that writes log lines to `writer`.
pub fn subscriber<W>(format: LogFormat, writer: W) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let colors = std::io::stdout().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(RedactingWriter(writer)).with_ansi(colors);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json { project } => Box::new(layer.event_format(cloud::CloudLogging::new(project))),
        LogFormat::Compact => Box::new(layer.compact().with_target(false)),
    };
    tracing_subscriber::registry().with(layer)
}
