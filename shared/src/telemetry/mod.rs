//! Logs: one JSON object a line where the service is deployed, compact text elsewhere. `RUST_LOG` chooses what.
//!
//! Fields: <https://cloud.google.com/logging/docs/structured-logging>.

mod cloud;
mod request;

pub use request::{RequestTags, current, in_request};

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{self, ConfigError, Lookup};

/// How lines look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// For Cloud Logging; the project, if known, makes traces of request headers.
    Json {
        /// `PROJECT_ID`.
        project: Option<String>,
    },
    /// For people.
    Compact,
}

impl Format {
    /// JSON where something is deployed.
    #[must_use]
    pub fn from(lookup: &Lookup<'_>) -> Self {
        match config::deployed(lookup) {
            Some(_) => Self::Json { project: config::optional(lookup, "PROJECT_ID") },
            None => Self::Compact,
        }
    }
}

/// Logs to standard output, and panics too, from now on. Without `RUST_LOG`: information, and warnings of libraries.
///
/// # Errors
/// When `RUST_LOG` is not a filter.
pub fn init(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    let name = "RUST_LOG";
    let chosen =
        config::optional(lookup, name).unwrap_or_else(|| "info,firestore=warn,hyper=warn".to_owned());
    let expected = "a filter such as info or shared=debug";
    let filter = EnvFilter::try_new(&chosen).map_err(|_| ConfigError::Malformed {
        name,
        expected,
        value: chosen.clone(),
    })?;
    // A second subscriber, as in tests, leaves the first one in place.
    let _ = subscriber(Format::from(lookup), std::io::stdout).with(filter).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic.location = location, "{}", panic.payload_as_str().unwrap_or("panic"));
    }));
    Ok(())
}

/// Formats what is logged and writes it to `writer`.
pub fn subscriber<W>(format: Format, writer: W) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let colours = std::io::stdout().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Json { project } => Box::new(layer.event_format(cloud::CloudLogging::new(project))),
        Format::Compact => Box::new(layer.compact().with_target(false)),
    };
    tracing_subscriber::registry().with(layer)
}
