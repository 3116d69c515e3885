//! How far an export is, and the wish to stop it.

use std::num::NonZeroUsize;
use std::thread;

/// What the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Writing merged weights.
    Merging,
    /// Writing a GGUF file.
    Converting,
    /// Comparing a finished export with what it must be.
    Verifying,
}

impl Stage {
    /// One lower-case word, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merging => "merging",
            Self::Converting => "converting",
            Self::Verifying => "verifying",
        }
    }
}

/// One sign of life. Bytes are output bytes; `total` is exact and known from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressUpdate {
    /// What is being done.
    pub stage: Stage,
    /// Bytes written so far.
    pub done: u64,
    /// Bytes to be written in all.
    pub total: u64,
}

/// Told after every block of output (a few megabytes), from the thread that runs the export.
pub trait Progress: Sync {
    /// Called often: do little here.
    fn report(&self, update: ProgressUpdate);

    /// Whether to stop: the export then ends with [`Error::Cancelled`](crate::Error::Cancelled) and no output.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody is watching.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&self, _: ProgressUpdate) {}
}

/// How to run an export.
#[derive(Clone, Copy)]
pub struct RunOptions<'a> {
    /// Who is told how far it is, and may stop it.
    pub progress: &'a dyn Progress,
    /// Threads that read and compute; one more writes. Each holds about four blocks. `None` is one for each
    /// processor; more are of use when reads are slow to answer.
    pub threads: Option<NonZeroUsize>,
    /// Bytes read at a time, about.
    pub block: u64,
}

impl RunOptions<'_> {
    /// Large enough for the latency of an object store.
    pub const REMOTE_BLOCK: u64 = 4 << 20;
    /// Small enough to stay in the cache from the read to the write.
    pub const LOCAL_BLOCK: u64 = 1 << 20;

    pub(crate) fn threads(&self) -> usize {
        let threads = self.threads.or_else(|| thread::available_parallelism().ok());
        threads.map_or(1, NonZeroUsize::get)
    }
}

impl Default for RunOptions<'_> {
    fn default() -> Self {
        Self { progress: &NoProgress, threads: None, block: Self::REMOTE_BLOCK }
    }
}

impl std::fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("threads", &self.threads).finish_non_exhaustive()
    }
}
