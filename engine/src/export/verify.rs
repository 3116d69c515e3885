//! Verifies a written export: makes it again in memory and compares it with the files.

use super::report_diff;
use super::sinks::VerifySink;
use super::{Difference, Pass};
use crate::convert::GgufPlan;
use crate::error::{Error, Result};
use crate::io::Folder;
use crate::plan::{ExportPlan, FileLayout, MergePlan};
use crate::progress::{RunOptions, Stage};
use crate::report::ExportReport;

/// The result of a verification.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Files compared, without the report.
    pub files: usize,
    /// Bytes compared.
    pub bytes: u64,
    /// Tensors recomputed and compared.
    pub tensors: usize,
    /// Whether there was a report, which was compared too.
    pub reported: bool,
    /// The differences found; empty when the export is as expected.
    pub differences: Vec<Difference>,
    /// The expected report.
    pub report: ExportReport,
}

/// Checks a merged folder against its inputs, byte for byte.
///
/// # Errors
/// When an input or an output cannot be read, and as [`merge`](crate::merge()). What differs is no error but in the
/// [`Verification`].
pub fn verify_merge(plan: &MergePlan, folder: &dyn Folder, run: &RunOptions<'_>) -> Result<Verification> {
    let plan = plan.export_plan();
    let mut verification = verify(plan, folder, run)?;
    let entries = folder.list().map_err(|e| Error::read(folder.location(), e))?;
    let planned = |name: &str| plan.files.iter().any(|file| file.name == name);
    let unplanned = entries.into_iter().filter(|e| e.name.ends_with(".safetensors") && !planned(&e.name));
    verification.differences.extend(unplanned.map(|entry| Difference {
        file: entry.name,
        tensor: None,
        problem: "is not a file of this model".to_owned(),
    }));
    Ok(verification)
}

/// Checks a GGUF file, or the files it is split into, against its inputs, byte for byte.
///
/// # Errors
/// As [`verify_merge`].
pub fn verify_gguf(
    plan: &GgufPlan,
    name: &str,
    folder: &dyn Folder,
    run: &RunOptions<'_>,
) -> Result<Verification> {
    verify(&plan.export_plan(name), folder, run)
}

fn verify(plan: &ExportPlan, folder: &dyn Folder, run: &RunOptions<'_>) -> Result<Verification> {
    let [planned] = &plan.reports[..] else {
        return Err(Error::invalid(plan.model.base().location(), "is not verified with one report"));
    };
    let mut sink = VerifySink::new(&plan.files, folder)?;
    let export = Pass::prepare(plan, Stage::Verifying, None, run)?.write(&mut sink)?;
    let mut differences = sink.differences();
    let report = export.report(planned);
    let of_report = report_diff::compare(&report, &planned.file, folder)?;
    let reported = of_report.is_some();
    differences.extend(of_report.into_iter().flatten());
    Ok(Verification {
        files: plan.files.len(),
        bytes: plan.files.iter().map(FileLayout::size).sum(),
        tensors: plan.files.iter().flat_map(|f| &f.parts).filter(|p| p.content.tensor().is_some()).count(),
        reported,
        differences,
        report,
    })
}
