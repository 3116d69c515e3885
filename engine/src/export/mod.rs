//! Writes planned exports, and verifies written ones: row blocks are made in parallel and handed to a sink in order.
//!
//! ```text
//! ExportPlan ─► schedule ─► row_block (parallel: read, merge, encode) ─► write ─► sinks ─► report
//! ```

mod digest;
mod parallel;
mod report;
mod report_diff;
mod row_block;
mod schedule;
mod sinks;
mod stats;
mod verify;
mod write;

pub use sinks::Difference;
pub use verify::{Verification, verify_gguf, verify_merge};

use crate::convert::GgufPlan;
use crate::error::{Error, Result};
use crate::io::{LocalOutput, Output};
use crate::plan::{ExportPlan, MergePlan, WrittenFile};
use crate::progress::{RunOptions, Stage};
use crate::report::{ExportReport, InputFiles};
use sinks::{PositionedSink, SequentialSink, Sink};
use stats::ExportStats;

/// What an export made.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The files, in the order they were written; the report is the last.
    pub files: Vec<WrittenFile>,
    /// The report, as its file has it.
    pub report: ExportReport,
}

/// Writes a merged checkpoint: shards, companions, `config.json` last, so that a folder that has one is complete, and
/// the report ([`ExportReport::FILE`]).
///
/// # Errors
/// When an input cannot be read or the output not written, when the adapter turns out to change nothing, and
/// [`Error::Cancelled`] when the caller asked to stop.
pub fn merge(plan: &MergePlan, output: &mut dyn Output, run: &RunOptions<'_>) -> Result<Outcome> {
    write_in_sequence(plan.export_plan(), Stage::Merging, output, run)
}

/// Writes a GGUF file under `name`, or several where the plan splits it, and a report beside them
/// ([`ExportReport::beside`]).
///
/// # Errors
/// As [`merge`].
pub fn gguf(plan: &GgufPlan, name: &str, output: &mut dyn Output, run: &RunOptions<'_>) -> Result<Outcome> {
    write_in_sequence(&plan.export_plan(name), Stage::Converting, output, run)
}

/// Writes several GGUF files of one model, each as [`gguf`] would, and reads and merges the model only once.
///
/// # Errors
/// As [`merge`], and [`Error::Invalid`] when the plans are not of the same model.
pub fn ggufs(
    plans: &[(GgufPlan, String)],
    output: &mut LocalOutput,
    run: &RunOptions<'_>,
) -> Result<Vec<Outcome>> {
    let Some(((first, name), others)) = plans.split_first() else { return Ok(Vec::new()) };
    let mut plan = first.export_plan(name);
    for (other, other_name) in others {
        if !other.model().is_same(first.model()) {
            let problem = format!("is not the model of {other_name}: one pass reads one model");
            return Err(Error::invalid(other.model().base().location(), problem));
        }
        plan.append(other.export_plan(other_name));
    }
    let mut sink = PositionedSink::new(&plan.files, output)?;
    let export = Export::run(&plan, Stage::Converting, &mut sink, run)?;
    export.write_reports(output)
}

fn write_in_sequence(
    plan: &ExportPlan,
    stage: Stage,
    output: &mut dyn Output,
    run: &RunOptions<'_>,
) -> Result<Outcome> {
    let export = Export::run(plan, stage, &mut SequentialSink::new(&plan.files, output), run)?;
    let outcome = export.write_reports(output)?.pop();
    outcome.ok_or_else(|| Error::invalid(plan.model.base().location(), "has no report planned"))
}

/// A pass that is over: what was read, what was measured, and what was made of it.
struct Export<'a> {
    plan: &'a ExportPlan,
    inputs: InputFiles,
    stats: ExportStats,
    /// One for each planned file.
    files: Vec<WrittenFile>,
}

impl<'a> Export<'a> {
    /// Makes every file of the plan and checks that the adapter had its effect.
    fn run(plan: &'a ExportPlan, stage: Stage, sink: &mut dyn Sink, run: &RunOptions<'_>) -> Result<Self> {
        let inputs = InputFiles::read(&plan.model, plan.input_context(), run)?;
        let stats = write::write(plan, stage, sink, run)?;
        stats.check_effect(&plan.model)?;
        Ok(Self { plan, inputs, stats, files: sink.end()? })
    }

    /// Writes the reports, after all files, and makes all of them visible.
    fn write_reports(&self, output: &mut dyn Output) -> Result<Vec<Outcome>> {
        let outcome = |planned: &_| {
            let report = self.report(planned);
            let mut files = self.files[planned.files.clone()].to_vec();
            files.push(report::write(&report, &planned.file, output)?);
            Ok(Outcome { files, report })
        };
        let outcomes = self.plan.reports.iter().map(outcome).collect::<Result<_>>()?;
        let reports: Vec<&str> = self.plan.reports.iter().map(|planned| planned.file.as_str()).collect();
        let first = reports.first().copied().unwrap_or_default();
        output.publish(&reports).map_err(|error| Error::write(first, error))?;
        Ok(outcomes)
    }
}
