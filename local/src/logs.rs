//! Logs of the local stack and of its jobs: compact lines without colors.

use shared::telemetry::RedactingWriter;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The filter if `RUST_LOG` is not set.
const DEFAULT: (LevelFilter, [(&str, LevelFilter); 1]) =
    (LevelFilter::INFO, [("object_store", LevelFilter::WARN)]);

/// Sets the log of this process to `writer`.
pub(crate) fn init<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(writer: W) {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter: Targets = wanted.unwrap_or_else(|| {
        let (level, targets) = DEFAULT;
        Targets::new().with_default(level).with_targets(targets)
    });
    tracing_subscriber::fmt()
        .compact()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(RedactingWriter(writer))
        .finish()
        .with(filter)
        .init();
}
