//! Progress on its way to the record: the work notes how far it is as often as it likes; at most one write per
//! interval leaves, and one at least every [`HEARTBEAT`], which renews the lease.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use engine::ProgressUpdate;
use shared::{
    domain::{Claim, ExportId, Progress, Stage, Transition},
    ports::{ApplyError, Exports},
};

/// Longest silence while the work goes on; well within the lease of a claim.
const HEARTBEAT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    progress: Progress,
    message: String,
}

/// What the work tells.
#[derive(Debug)]
pub(crate) struct Reporter {
    note: Mutex<Note>,
    stopped: AtomicBool,
}

impl Reporter {
    pub(crate) fn new() -> Self {
        let progress = Progress { stage: Stage::Fetch, bytes_done: 0, bytes_total: 0 };
        let message = "Reading the adapter and the base model".to_owned();
        Self { note: Mutex::new(Note { progress, message }), stopped: AtomicBool::new(false) }
    }

    /// A new stage, which knows how many bytes it will take, or 0.
    pub(crate) fn begin(&self, stage: Stage, message: impl Into<String>, bytes_total: u64) {
        let message = message.into();
        tracing::info!(stage = ?stage, bytes_total, "{message}");
        *self.note() = Note { progress: Progress { stage, bytes_done: 0, bytes_total }, message };
    }

    /// More bytes of the current stage are done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.note().progress.bytes_done += bytes;
    }

    /// The work shall end where it is.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn note(&self) -> std::sync::MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl engine::Progress for Reporter {
    fn report(&self, update: ProgressUpdate) {
        let mut note = self.note();
        note.progress.bytes_done = update.done;
        note.progress.bytes_total = update.total;
    }

    fn cancelled(&self) -> bool {
        self.is_stopped()
    }
}

/// Writes what `reporter` notes to the record until dropped. When the record refuses (somebody ended it, or another
/// execution took over), the work is stopped: it would be for nothing.
pub(crate) async fn keep_recording(
    reporter: Arc<Reporter>,
    exports: Arc<dyn Exports>,
    export: ExportId,
    claim: Claim,
    every: Duration,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last: Option<(Note, Instant)> = None;
    loop {
        ticks.tick().await;
        let note = reporter.note().clone();
        if last.as_ref().is_some_and(|(old, at)| *old == note && at.elapsed() < HEARTBEAT) {
            continue;
        }
        let Note { progress, message } = note.clone();
        let transition = Transition::Progress { claim: claim.clone(), progress, message };
        match exports.apply(export, &transition).await {
            Ok(_) => last = Some((note, Instant::now())),
            Err(error @ (ApplyError::Refused(_) | ApplyError::NoSuchExport)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the export is no longer this job's"
                );
                reporter.stop();
                return;
            }
            Err(error @ ApplyError::Port(_)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "progress was not recorded");
            }
        }
    }
}
