//! A progress bar, and Ctrl-C.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Progress, ProgressUpdate, RunOptions, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Runs an export or a check under a progress bar on standard error, where that is a terminal. Ctrl-C and SIGTERM end it
/// cleanly.
pub(crate) fn watched<T>(
    stage: Stage,
    threads: Option<NonZeroUsize>,
    export: impl FnOnce(&RunOptions<'_>) -> engine::Result<T>,
) -> Result<T, Box<dyn Error>> {
    match ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)) {
        // the second part of an export
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
        Err(error) => return Err(error.into()),
    }
    let bar = Bar::new(stage);
    let outcome = export(&RunOptions { progress: &bar, threads, block: RunOptions::LOCAL_BLOCK });
    bar.0.finish_and_clear();
    match outcome {
        Err(engine::Error::Cancelled) => Err("interrupted: nothing was written".into()),
        outcome => Ok(outcome?),
    }
}

struct Bar(ProgressBar);

impl Bar {
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

impl Progress for Bar {
    fn report(&self, update: ProgressUpdate) {
        self.0.set_length(update.total);
        self.0.set_position(update.done);
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}
