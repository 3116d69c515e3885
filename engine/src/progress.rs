//! Progress of an export, its cancellation, and the options of a run.

use std::num::NonZeroUsize;
use std::thread;

/// The stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Writing merged weights.
    Merging,
    /// Writing a GGUF file.
    Converting,
    /// Copying an adapter.
    Copying,
    /// Comparing an existing export with its inputs.
    Verifying,
    /// Computing an importance matrix.
    Calibrating,
    /// Measuring the errors of types.
    Fitting,
}

impl Stage {
    /// One lower-case word, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merging => "merging",
            Self::Converting => "converting",
            Self::Copying => "copying",
            Self::Verifying => "verifying",
            Self::Calibrating => "calibrating",
            Self::Fitting => "measuring",
        }
    }
}

/// The progress so far, in output bytes, or in tokens for [`Stage::Calibrating`] and weights for [`Stage::Fitting`]; `total` is exact and known from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressUpdate {
    /// The stage.
    pub stage: Stage,
    /// What is done so far.
    pub done: u64,
    /// What is to be done in all.
    pub total: u64,
}

/// One of several parts of a run, such as a pass or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPart {
    /// What is done before the part.
    pub before: u64,
    /// What is to be done in all parts.
    pub total: u64,
}

impl RunPart {
    /// The progress of all parts, from that of this one.
    #[must_use]
    pub fn of_all(self, update: ProgressUpdate) -> ProgressUpdate {
        ProgressUpdate { done: self.before + update.done, total: self.total, ..update }
    }
}

/// What an earlier run has left of an export that is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResumeState {
    /// Nothing: the export starts.
    Nothing,
    /// Drafts of another export, which differs in this: the export starts over.
    Differs(String),
    /// Drafts of which nothing is as it was written: the export starts over.
    Damaged,
    /// Finished tensors, which are kept.
    Kept {
        /// What is done so far.
        progress: ProgressUpdate,
        /// Finished tensors that are not as they were written, and are made again.
        damaged: usize,
    },
}

/// Receives an update after every chunk of output (a few megabytes), on the thread that runs the export.
pub trait Progress: Sync {
    /// Called often: do little here.
    fn report(&self, update: ProgressUpdate);

    /// Called once in a run that is to [go on](crate::LocalOutput::resumable), before it makes anything.
    fn resume(&self, state: &ResumeState) {
        let _ = state;
    }

    /// Whether to stop: the export then ends with [`Error::Cancelled`](crate::Error::Cancelled) and no output.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Ignores updates.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&self, _: ProgressUpdate) {}
}

/// Shows one of several passes as a part of all of them.
pub(crate) struct PassProgress<'a> {
    pub(crate) all: &'a dyn Progress,
    pub(crate) part: RunPart,
}

impl Progress for PassProgress<'_> {
    fn report(&self, update: ProgressUpdate) {
        self.all.report(self.part.of_all(update));
    }

    fn resume(&self, state: &ResumeState) {
        self.all.resume(state);
    }

    fn cancelled(&self) -> bool {
        self.all.cancelled()
    }
}

/// How to run an export.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Receives updates, and can cancel the run.
    pub progress: &'a dyn Progress,
    /// Threads that read and compute, besides the one that writes. Each holds about four chunks. `None` is one for
    /// each processor; more help when reads have a high latency.
    pub threads: Option<NonZeroUsize>,
    /// Bytes read at a time, about.
    pub chunk_size: u64,
    /// Exports NaN and infinity in base, adapter or result, which end an export otherwise.
    pub allow_non_finite: bool,
}

impl RunOptions<'_> {
    /// Large enough for the latency of an object store.
    pub const REMOTE_CHUNK: u64 = 4 << 20;
    /// Small enough to stay in the processor's cache from read to write.
    pub const LOCAL_CHUNK: u64 = 1 << 20;

    pub(crate) fn threads(&self) -> usize {
        let threads = self.threads.or_else(|| thread::available_parallelism().ok());
        threads.map_or(1, NonZeroUsize::get)
    }
}

impl Default for RunOptions<'_> {
    fn default() -> Self {
        Self { progress: &NoProgress, threads: None, chunk_size: Self::REMOTE_CHUNK, allow_non_finite: false }
    }
}

impl std::fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("threads", &self.threads).finish_non_exhaustive()
    }
}
