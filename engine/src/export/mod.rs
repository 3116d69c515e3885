//! Writes planned exports, and verifies written ones: row blocks are made in parallel and handed to a sink in order.
//!
//! ```text
//! ExportPlan ─► schedule ─► row_block (parallel: read, merge, encode) ─► write ─► sinks ─► report
//!                                                                          └─► journal (what a later run keeps)
//! ```

mod compared_file;
mod compared_output;
mod digest;
mod fingerprint;
mod journal;
mod kept_export;
mod module_weights;
mod parallel;
mod report;
mod report_diff;
mod row_block;
mod schedule;
mod sinks;
mod stats;
mod unit_record;
mod verify;
mod write;

pub use compared_file::Difference;
pub use kept_export::KeptExport;
pub use report::rewrite_report;
pub use verify::{Verification, verify_adapter, verify_gguf, verify_lora, verify_merge};

use crate::convert::GgufPlan;
use crate::error::{Error, Result};
use crate::io::{LocalOutput, Output};
use crate::plan::{ExportPlan, MergePlan, PlannedReport, WrittenFile};
use crate::progress::{PassProgress, RunOptions, RunPart, Stage};
use crate::report::{ExportReport, InputFiles};
use journal::PassJournal;
use sinks::{EachSink, PositionedSink, SequentialSink, Sink};
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
    let named = plans.iter().map(|(plan, name)| (plan, name.as_str()));
    let Some(plan) = combined(named)? else { return Ok(Vec::new()) };
    let pass = Pass::prepare(&plan, Stage::Converting, Some(output), run)?;
    let export = pass.write(&mut PositionedSink::new(&plan.files, output)?)?;
    export.write_reports(output)
}

/// Writes several GGUF files of one model, each as [`gguf`] would, to an output of its own. Files with their tensors in the
/// same order are written in one pass over the model: those of the converter's types, and those of the other types.
///
/// # Errors
/// As [`ggufs`].
pub fn ggufs_to_each<'a>(
    files: Vec<(&'a GgufPlan, &'a str, &'a mut dyn Output)>,
    run: &RunOptions<'_>,
) -> Result<Vec<Outcome>> {
    let mut passes: Vec<(Vec<usize>, Vec<(usize, GgufFileTo<'a>)>)> = Vec::new();
    for (number, file) in files.into_iter().enumerate() {
        let order = file.0.tensor_order();
        match passes.iter_mut().find(|(other, _)| *other == order) {
            Some((_, same)) => same.push((number, file)),
            None => passes.push((order, vec![(number, file)])),
        }
    }
    let plans =
        passes.iter().map(|(_, files)| combined(files.iter().map(|(_, (plan, name, _))| (*plan, *name))));
    let plans = plans.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
    let total = plans.iter().map(ExportPlan::size).sum();
    let (mut outcomes, mut before) = (Vec::new(), 0);
    for (plan, (_, files)) in plans.iter().zip(passes) {
        let progress = PassProgress { all: run.progress, part: RunPart { before, total } };
        let run = RunOptions { progress: &progress, ..*run };
        let (numbers, mut files): (Vec<usize>, Vec<_>) = files.into_iter().unzip();
        let export = {
            let outputs = files.iter_mut().map(|(.., output)| &mut **output as &mut dyn Output);
            Pass::prepare(plan, Stage::Converting, None, &run)?.write(&mut EachSink::new(plan, outputs))?
        };
        for ((number, planned), (.., output)) in numbers.into_iter().zip(&plan.reports).zip(&mut files) {
            outcomes.push((number, export.write_report(planned, *output)?));
        }
        before += plan.size();
    }
    outcomes.sort_by_key(|(number, _)| *number);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

/// A plan, the name of its file, and where that goes.
type GgufFileTo<'a> = (&'a GgufPlan, &'a str, &'a mut dyn Output);

/// The pass that writes all of these files; `None` if there are none.
fn combined<'a>(plans: impl Iterator<Item = (&'a GgufPlan, &'a str)>) -> Result<Option<ExportPlan>> {
    let mut pass: Option<(&GgufPlan, ExportPlan)> = None;
    for (plan, name) in plans {
        match &mut pass {
            None => pass = Some((plan, plan.export_plan(name))),
            Some((first, _)) if !plan.model().is_same(first.model()) => {
                let problem = format!("is not the model of {name}: one pass reads one model");
                return Err(Error::invalid(plan.model().base().location(), problem));
            }
            Some((_, pass)) => pass.append(plan.export_plan(name)),
        }
    }
    Ok(pass.map(|(_, pass)| pass))
}

fn write_in_sequence(
    plan: &ExportPlan,
    stage: Stage,
    output: &mut dyn Output,
    run: &RunOptions<'_>,
) -> Result<Outcome> {
    let pass = Pass::prepare(plan, stage, output.local(), run)?;
    let export = pass.write(&mut SequentialSink::new(&plan.files, output))?;
    let outcome = export.write_reports(output)?.pop();
    outcome.ok_or_else(|| Error::invalid(plan.model.base().location(), "has no report planned"))
}

/// A pass whose inputs are known.
struct Pass<'a, 'r> {
    plan: &'a ExportPlan,
    stage: Stage,
    run: &'a RunOptions<'r>,
    inputs: InputFiles,
    journal: Option<PassJournal>,
}

impl<'a, 'r> Pass<'a, 'r> {
    /// With the journal of an output that keeps drafts.
    fn prepare(
        plan: &'a ExportPlan,
        stage: Stage,
        output: Option<&mut LocalOutput>,
        run: &'a RunOptions<'r>,
    ) -> Result<Self> {
        let inputs = InputFiles::read(&plan.model, plan.input_context(), run)?;
        let journal = match output {
            Some(output) => PassJournal::open(plan, &inputs, output, run)?,
            None => None,
        };
        Ok(Self { plan, stage, run, inputs, journal })
    }

    /// Makes every file of the plan and checks that the adapter had its effect.
    fn write(mut self, sink: &mut dyn Sink) -> Result<Export<'a>> {
        let written = self.make(sink);
        if let (Err(error), Some(journal)) = (&written, &self.journal)
            && !error.may_pass()
        {
            journal.discard();
        }
        let (stats, files) = written?;
        Ok(Export { plan: self.plan, inputs: self.inputs, stats, files })
    }

    fn make(&mut self, sink: &mut dyn Sink) -> Result<(ExportStats, Vec<WrittenFile>)> {
        let stats = write::write(self.plan, self.stage, sink, self.journal.as_mut(), self.run)?;
        stats.check_effect(&self.plan.model)?;
        Ok((stats, sink.end()?))
    }
}

/// A pass that is over: what was read, what was measured, and what was made of it.
struct Export<'a> {
    plan: &'a ExportPlan,
    inputs: InputFiles,
    stats: ExportStats,
    /// One for each planned file.
    files: Vec<WrittenFile>,
}

impl Export<'_> {
    /// Writes the reports, after all files, and makes all of them visible.
    fn write_reports(&self, output: &mut dyn Output) -> Result<Vec<Outcome>> {
        let outcome = |planned| self.finish_report(planned, output);
        let outcomes = self.plan.reports.iter().map(outcome).collect::<Result<_>>()?;
        publish(&self.plan.reports, output)?;
        Ok(outcomes)
    }

    /// Writes one of the reports, and makes it and its files visible, which alone are in this output.
    fn write_report(&self, planned: &PlannedReport, output: &mut dyn Output) -> Result<Outcome> {
        let outcome = self.finish_report(planned, output)?;
        publish(std::slice::from_ref(planned), output)?;
        Ok(outcome)
    }

    fn finish_report(&self, planned: &PlannedReport, output: &mut dyn Output) -> Result<Outcome> {
        let report = self.report(planned);
        let mut files = self.files[planned.files.clone()].to_vec();
        files.push(report::write(&report, &planned.file, output)?);
        Ok(Outcome { files, report })
    }
}

/// Makes the finished files of an output visible, these reports first.
fn publish(reports: &[PlannedReport], output: &mut dyn Output) -> Result<()> {
    let names: Vec<&str> = reports.iter().map(|planned| planned.file.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    output.publish(&names).map_err(|error| Error::write(first, error))
}
