//! The two exports that make new weights: a merged checkpoint and a GGUF file.

pub(crate) mod layout;
mod merge;
mod ordered;
mod write;

use std::num::NonZeroUsize;
use std::thread;

pub use merge::MergePlan;

use crate::Result;
use crate::gguf::GgufPlan;
use crate::io::Output;
use crate::progress::{Progress, Silent, Stage};

/// A file that a plan will make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name.
    pub name: String,
    /// Its exact size in bytes.
    pub size: u64,
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content, in lower-case hex.
    pub sha256: String,
}

/// What an export did to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// LoRA pairs applied.
    pub pairs: usize,
    /// Tensors that differ from the base's.
    pub changed: usize,
    /// Tensors whose pair is exactly zero (never trained), so that they equal the base's.
    pub zero: usize,
    /// Tensors no pair belongs to, byte for byte the base's.
    pub unchanged: usize,
}

/// What an export made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The files, in the order they were written.
    pub files: Vec<WrittenFile>,
    /// What is in them.
    pub summary: Summary,
}

/// How to run an export.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Who is told how far it is, and may stop it.
    pub progress: &'a dyn Progress,
    /// Threads that read and compute; one more writes. Each holds about four blocks. `None` is one for each
    /// processor; more are of use when reads are slow to answer.
    pub threads: Option<NonZeroUsize>,
    /// Bytes read at a time, about.
    pub block: u64,
}

impl Run<'_> {
    /// Large enough for the latency of an object store.
    pub const REMOTE_BLOCK: u64 = 4 << 20;
    /// Small enough to stay in the cache from the read to the write.
    pub const LOCAL_BLOCK: u64 = 256 << 10;

    fn threads(&self) -> usize {
        let threads = self.threads.or_else(|| thread::available_parallelism().ok());
        threads.map_or(1, NonZeroUsize::get)
    }
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self { progress: &Silent, threads: None, block: Self::REMOTE_BLOCK }
    }
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Writes a merged checkpoint: shards, companions, and `config.json` last, so that a folder with one is whole.
///
/// # Errors
/// When an input cannot be read or the output not written, when the adapter turns out to change nothing, and
/// [`Error::Cancelled`](crate::Error::Cancelled) when the caller wished to stop.
pub fn merge(plan: &MergePlan, output: &mut dyn Output, run: &Run<'_>) -> Result<Outcome> {
    write::write(plan.model(), plan.layouts(), Stage::Merging, output, run)
}

/// Writes a GGUF file under `name`.
///
/// # Errors
/// As [`merge`].
pub fn gguf(plan: &GgufPlan, name: &str, output: &mut dyn Output, run: &Run<'_>) -> Result<Outcome> {
    write::write(plan.model(), &[plan.layout(name)], Stage::Converting, output, run)
}
