//! Logs of the local stack: lines for people, in files.

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT: &str = "info,object_store=warn";

/// Logs to `writer` from now on.
pub(crate) fn init<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(writer: W) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    tracing_subscriber::fmt().compact().with_env_filter(filter).with_ansi(false).with_writer(writer).init();
}
