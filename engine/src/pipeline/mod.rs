//! The two exports that make new weights: a merged checkpoint and a GGUF file.

mod block;
mod compare;
pub(crate) mod digest;
pub(crate) mod found;
pub(crate) mod layout;
mod merge;
mod ordered;
mod placed;
mod sink;
mod steps;
mod verify;
mod write;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread;

pub use compare::Difference;
pub use merge::MergePlan;
pub use verify::{Verdict, verify_gguf, verify_merge};

use crate::gguf::GgufPlan;
use crate::io::{LocalOutput, Output};
use crate::model::Model;
use crate::progress::{Progress, Silent, Stage};
use crate::report::{self, Inputs, Making, Report};
use crate::{Error, Result};
use layout::Layout;
use placed::Placed;
use sink::{Sequence, Sink as _};

/// A file that a plan will make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name.
    pub name: String,
    /// Its exact size in bytes.
    pub size: u64,
}

impl PlannedFile {
    pub(crate) fn of(layout: &Layout) -> Self {
        Self { name: layout.name.clone(), size: layout.size() }
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The files, in the order they were written; the report is the last.
    pub files: Vec<WrittenFile>,
    /// What is in them.
    pub summary: Summary,
    /// The proof, as the report's file has it.
    pub report: Report,
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
    pub const LOCAL_BLOCK: u64 = 1 << 20;

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

/// Writes a merged checkpoint: shards, companions, `config.json`, so that a folder with one is whole, and the report
/// ([`Report::FILE`]).
///
/// # Errors
/// When an input cannot be read or the output not written, when the adapter turns out to change nothing, and
/// [`Error::Cancelled`](crate::Error::Cancelled) when the caller wished to stop.
pub fn merge(plan: &MergePlan, output: &mut dyn Output, run: &Run<'_>) -> Result<Outcome> {
    export(plan.model(), plan.layouts(), &plan.making(), Report::FILE, Stage::Merging, output, run)
}

/// Writes a GGUF file under `name`, or several where the plan splits it, and a report beside them
/// ([`Report::beside`]).
///
/// # Errors
/// As [`merge`].
pub fn gguf(plan: &GgufPlan, name: &str, output: &mut dyn Output, run: &Run<'_>) -> Result<Outcome> {
    let (files, report) = (plan.layouts(name), Report::beside(name));
    export(plan.model(), &files, &plan.making(), &report, Stage::Converting, output, run)
}

/// Writes several GGUF files of one model, each as [`gguf`] would, and reads and merges the model only once.
///
/// # Errors
/// As [`merge`], and [`Error::Invalid`](crate::Error::Invalid) when the plans are not of the same model.
pub fn ggufs(plans: &[(GgufPlan, String)], output: &mut LocalOutput, run: &Run<'_>) -> Result<Vec<Outcome>> {
    let Some((first, _)) = plans.first() else { return Ok(Vec::new()) };
    let model = first.model();
    if let Some((other, name)) = plans.iter().find(|(plan, _)| !plan.model().is(model)) {
        let problem = format!("is not the model of {name}: one pass reads one model");
        return Err(Error::invalid(other.model().base().location(), problem));
    }
    let (mut files, mut numbers) = (Vec::new(), Vec::new());
    for (plan, name) in plans {
        let first = files.len();
        files.extend(plan.layouts(name));
        numbers.push(first..files.len());
    }
    let inputs = Inputs::read(model, &first.making(), run)?;
    let mut sink = Placed::new(&files, output)?;
    let found = write::write(model, &files, Stage::Converting, &mut sink, run)?;
    let summary = found.judge(model)?;
    let written = sink.end()?;
    let outcome = |((plan, name), numbers): (&(GgufPlan, String), Range<usize>)| {
        let (making, mut written) = (plan.making(), written[numbers.clone()].to_vec());
        let report = Report::new(model, &files, numbers, &making, inputs.clone(), &found, summary, &written);
        written.push(report::write(&report, &Report::beside(name), output)?);
        Ok(Outcome { files: written, summary, report })
    };
    plans.iter().zip(numbers).map(outcome).collect()
}

fn export(
    model: &Model,
    files: &[Layout],
    making: &Making,
    report_file: &str,
    stage: Stage,
    output: &mut dyn Output,
    run: &Run<'_>,
) -> Result<Outcome> {
    let inputs = Inputs::read(model, making, run)?;
    let mut sink = Sequence::new(files, output);
    let found = write::write(model, files, stage, &mut sink, run)?;
    let summary = found.judge(model)?;
    let mut files_written = sink.end()?;
    let report = Report::new(model, files, 0..files.len(), making, inputs, &found, summary, &files_written);
    files_written.push(report::write(&report, report_file, output)?);
    Ok(Outcome { files: files_written, summary, report })
}
