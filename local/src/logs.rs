//! Logs of the local stack and of its jobs: compact lines without colors.

use shared::telemetry::RedactingWriter;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The filter if `RUST_LOG` is not set.
const DEFAULT: &str = "info,object_store=warn";

/// Sets the log of this process to `writer`.
pub(crate) fn init<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(writer: W) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(RedactingWriter(writer))
        .init();
}
