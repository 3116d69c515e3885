//! The progress of the work, and its record: at most one write per interval, and at least one every [`HEARTBEAT`],
//! which renews the lease.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::{ProgressUpdate, RunPart};
use hub_client::RetryMonitor;
use shared::{
    clock,
    domain::{Claim, ExportId, Progress, Stage, Transition},
    ports::{ApplyError, Exports},
};

/// Longest time between two writes; well within the lease of a claim. It is also the longest time until the work of a
/// cancelled export is stopped.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the record shows of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ProgressNote {
    progress: Progress,
    message: String,
}

/// A part of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StagePart {
    stage: Stage,
    part: RunPart,
}

/// The parts of a stage, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageParts {
    next: StagePart,
}

impl StageParts {
    /// The parts of a stage of `total` bytes.
    pub(crate) fn new(stage: Stage, total: u64) -> Self {
        Self { next: StagePart { stage, part: RunPart { before: 0, total } } }
    }

    /// The next part, which has that many bytes.
    pub(crate) fn next(&mut self, bytes: u64) -> StagePart {
        let part = self.next;
        self.next.part.before += bytes;
        part
    }
}

/// The progress of the work, and whether it has to stop. Shared by the work's threads and [`record`].
#[derive(Debug)]
pub(crate) struct ProgressTracker {
    current: Mutex<CurrentStep>,
    wait: Mutex<Wait>,
    stopped: AtomicBool,
}

/// What the work does.
#[derive(Debug)]
struct CurrentStep {
    note: ProgressNote,
    /// The part of the stage, if it has several.
    part: Option<RunPart>,
}

/// What the work waits for.
#[derive(Debug, Default)]
struct Wait {
    /// The threads that wait.
    waiting: usize,
    message: String,
}

impl ProgressTracker {
    pub(crate) fn new() -> Self {
        let progress = Progress { stage: Stage::Fetch, bytes_done: 0, bytes_total: 0 };
        let message = "Reading the adapter and the base model".to_owned();
        Self {
            current: Mutex::new(CurrentStep { note: ProgressNote { progress, message }, part: None }),
            wait: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Begins a stage of `bytes_total` bytes, 0 if unknown.
    pub(crate) fn begin(&self, stage: Stage, message: impl Into<String>, bytes_total: u64) {
        self.set(Progress { stage, bytes_done: 0, bytes_total }, message.into(), None);
    }

    /// Begins a part of a stage. What is done and what is to be done remain those of the stage.
    pub(crate) fn begin_part(&self, StagePart { stage, part }: StagePart, message: impl Into<String>) {
        let RunPart { before, total } = part;
        self.set(Progress { stage, bytes_done: before, bytes_total: total }, message.into(), Some(part));
    }

    fn set(&self, progress: Progress, message: String, part: Option<RunPart>) {
        let Progress { stage, bytes_total, .. } = progress;
        tracing::info!(stage = ?stage, bytes_total, "{message}");
        *self.step() = CurrentStep { note: ProgressNote { progress, message }, part };
    }

    /// Adds to the bytes done of the current stage.
    pub(crate) fn advance(&self, bytes: u64) {
        self.step().note.progress.bytes_done += bytes;
    }

    /// Asks the work to stop.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// What the record shows now.
    fn current(&self) -> ProgressNote {
        let mut note = self.step().note.clone();
        let wait = self.wait();
        if wait.waiting > 0 {
            note.message = format!("{}: {}", note.message, wait.message);
        }
        note
    }

    fn wait(&self) -> MutexGuard<'_, Wait> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) -> MutexGuard<'_, CurrentStep> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RetryMonitor for ProgressTracker {
    fn is_stopped(&self) -> bool {
        Self::is_stopped(self)
    }

    /// Adds what is waited for to the message, until [`Self::end_wait`].
    fn begin_wait(&self, message: String) {
        let mut wait = self.wait();
        wait.waiting += 1;
        wait.message = message;
    }

    fn end_wait(&self) {
        let mut wait = self.wait();
        wait.waiting = wait.waiting.saturating_sub(1);
    }
}

impl engine::Progress for ProgressTracker {
    fn report(&self, update: ProgressUpdate) {
        let mut step = self.step();
        let ProgressUpdate { done, total, .. } = step.part.map_or(update, |part| part.of_all(update));
        step.note.progress.bytes_done = done;
        step.note.progress.bytes_total = total;
    }

    fn cancelled(&self) -> bool {
        self.is_stopped()
    }
}

/// Writes `progress` to the export's record until dropped. If the store refuses (the export has ended, or another
/// execution owns it), the work is stopped.
pub(crate) async fn record(
    progress: Arc<ProgressTracker>,
    exports: Arc<dyn Exports>,
    export: ExportId,
    claim: Claim,
    interval: Duration,
) {
    // what was written, and how long ago
    let mut written: Option<(ProgressNote, Duration)> = None;
    loop {
        let note = progress.current();
        if written.as_ref().is_none_or(|(old, age)| *old != note || *age >= HEARTBEAT) {
            match exports.apply(export, &transition(&claim, &note)).await {
                Ok(_) => written = Some((note, Duration::ZERO)),
                Err(error @ (ApplyError::Refused(_) | ApplyError::NoSuchExport)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the export no longer belongs to this execution: stopping"
                    );
                    progress.stop();
                    return;
                }
                Err(error @ ApplyError::Port(_)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "progress was not recorded");
                }
            }
        }
        clock::sleep(interval).await;
        if let Some((_, age)) = &mut written {
            *age += interval;
        }
    }
}

fn transition(claim: &Claim, note: &ProgressNote) -> Transition {
    let ProgressNote { progress, message } = note.clone();
    Transition::Progress { claim: claim.clone(), progress, message }
}
