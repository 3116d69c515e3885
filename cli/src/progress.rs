//! The progress bar, and interruption by signals.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::args::EngineArgs;
use engine::{Progress, ProgressUpdate, RunOptions, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Calls `work` with a progress bar on standard error, hidden unless that is a terminal.
///
/// # Errors
/// Those of `work`. After SIGINT or SIGTERM it stops, leaves no partial output and fails.
pub(crate) fn with_bar<T>(
    stage: Stage,
    args: EngineArgs,
    work: impl FnOnce(&RunOptions<'_>) -> engine::Result<T>,
) -> Result<T, Box<dyn Error>> {
    match ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)) {
        // the handler is set once per process
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
        Err(error) => return Err(error.into()),
    }
    let bar = TerminalBar::new(stage);
    let result = work(&RunOptions {
        progress: &bar,
        threads: args.threads,
        chunk_size: RunOptions::LOCAL_CHUNK,
        allow_non_finite: args.allow_non_finite,
    });
    bar.0.finish_and_clear();
    match result {
        Err(engine::Error::Cancelled) => Err("interrupted: no partial output remains".into()),
        result => Ok(result?),
    }
}

struct TerminalBar(ProgressBar);

impl TerminalBar {
    fn new(stage: Stage) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{msg} {wide_bar} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(stage.as_str());
        Self(bar)
    }
}

impl Progress for TerminalBar {
    fn report(&self, update: ProgressUpdate) {
        self.0.set_length(update.total);
        self.0.set_position(update.done);
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}
