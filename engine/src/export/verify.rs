//! Verifies a written export: makes it again in memory and compares it with the files.

use std::io::ErrorKind;

use serde_json::Value;

use super::compared_file::ComparedFile;
use super::compared_output::{ComparedFiles, ComparedOutput};
use super::report_diff;
use super::sinks::VerifySink;
use super::{Difference, Pass};
use crate::adapter_copy::AdapterPlan;
use crate::checkpoint::{ADAPTER_CONFIG, TEMPLATE_FOLDER, is_companion};
use crate::convert::{GgufPlan, LoraPlan};
use crate::error::{Error, Result};
use crate::io::{Folder, Output};
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
    /// Tensors recomputed and compared; `None` where files are copies.
    pub tensors: Option<usize>,
    /// Whether there was a report, which was compared too.
    pub reported: bool,
    /// The differences found; empty when the export is as expected.
    pub differences: Vec<Difference>,
    /// The expected report, as its file would have it.
    pub report: Value,
}

/// Checks a merged folder against its inputs, byte for byte.
///
/// # Errors
/// When an input or an output cannot be read, and as [`merge`](crate::merge()). What differs is no error but in the
/// [`Verification`].
pub fn verify_merge(plan: &MergePlan, folder: &dyn Folder, run: &RunOptions<'_>) -> Result<Verification> {
    let plan = plan.export_plan();
    let mut verification = verify(plan, folder, run)?;
    let planned = |name: &str| plan.files.iter().any(|file| file.name == name);
    verification.differences.extend(unplanned_files(folder, planned)?);
    Ok(verification)
}

/// Checks a GGUF file, or the files it is split into, against its inputs, byte for byte. Without a report it may be a file that was
/// moved or that llama.cpp made, and has no `Modelfile` beside it.
///
/// # Errors
/// As [`verify_merge`].
pub fn verify_gguf(
    plan: &GgufPlan,
    name: &str,
    folder: &dyn Folder,
    run: &RunOptions<'_>,
) -> Result<Verification> {
    let plan = plan.export_plan(name);
    let mut verification = verify(&plan, folder, run)?;
    if !verification.reported {
        let absent = |file: &&FileLayout| {
            let is_missing = |difference: &Difference| {
                difference.file == file.name && difference.problem == ComparedFile::MISSING
            };
            file.name.ends_with(".Modelfile") && verification.differences.iter().any(is_missing)
        };
        if let Some(modelfile) = plan.files.iter().find(absent) {
            verification.differences.retain(|difference| difference.file != modelfile.name);
            verification.files -= 1;
            verification.bytes -= modelfile.size();
        }
    }
    Ok(verification)
}

/// Checks the copy of an adapter, byte for byte.
///
/// # Errors
/// When an input or a file of the copy cannot be read, and as [`AdapterPlan::write`]. What differs is no error but in the
/// [`Verification`].
pub fn verify_adapter(plan: &AdapterPlan, folder: &dyn Folder, run: &RunOptions<'_>) -> Result<Verification> {
    let write = |output: &mut dyn Output| plan.write(output, run).map(|_| ());
    let mut verification = compare_written(folder, ExportReport::FILE, write)?;
    let planned = |name: &str| plan.files().iter().any(|file| file.name == name);
    verification.differences.extend(unplanned_files(folder, planned)?);
    Ok(verification)
}

/// Checks an adapter as a GGUF file against its inputs, byte for byte.
///
/// # Errors
/// As [`verify_adapter`], and as [`LoraPlan::write`].
pub fn verify_lora(
    plan: &LoraPlan,
    name: &str,
    folder: &dyn Folder,
    run: &RunOptions<'_>,
) -> Result<Verification> {
    let write = |output: &mut dyn Output| plan.write(name, output, run).map(|_| ());
    let verification = compare_written(folder, &ExportReport::beside(name), write)?;
    Ok(Verification { tensors: Some(2 * plan.pairs()), ..verification })
}

/// Compares what `write` writes with the files of the folder.
fn compare_written(
    folder: &dyn Folder,
    report_name: &str,
    write: impl FnOnce(&mut dyn Output) -> Result<()>,
) -> Result<Verification> {
    let mut output = ComparedOutput::new(folder, report_name);
    let written = write(&mut output);
    compare_report(output.end(written)?, report_name, folder)
}

/// Compares the report, too.
fn compare_report(compared: ComparedFiles, name: &str, folder: &dyn Folder) -> Result<Verification> {
    let ComparedFiles { files, bytes, mut differences, report } = compared;
    // from its text, so that its numbers come from the same digits as the file's
    let report: Value = serde_json::from_slice(&report).map_err(|e| Error::invalid(name, e.to_string()))?;
    let of_report = report_diff::compare(&report, name, folder)?;
    let reported = of_report.is_some();
    differences.extend(of_report.into_iter().flatten());
    Ok(Verification { files, bytes, tensors: None, reported, differences, report })
}

/// Files in the folder that a loader reads and the export does not have.
fn unplanned_files(folder: &dyn Folder, is_planned: impl Fn(&str) -> bool) -> Result<Vec<Difference>> {
    let failed = |e| Error::read(folder.location(), e);
    let names = folder.list().map_err(failed)?.into_iter().map(|entry| entry.name);
    let templates = match folder.list_subfolder(TEMPLATE_FOLDER) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        templates => templates.unwrap_or_default(),
    };
    let unplanned = names.chain(templates).filter(|name| is_loaded(name) && !is_planned(name));
    let difference =
        |name| Difference { file: name, tensor: None, problem: "is not a file of this model".to_owned() };
    Ok(unplanned.map(difference).collect())
}

/// Whether a program that loads a model or an adapter reads a file of this name.
fn is_loaded(name: &str) -> bool {
    const SETTINGS: [&str; 2] = ["config.json", ADAPTER_CONFIG];
    const PICKLES: [&str; 2] = ["pytorch_model", "adapter_model"];
    let is_pickle = || name.ends_with(".bin") && PICKLES.iter().any(|stem| name.starts_with(stem));
    name.ends_with(".safetensors")
        || name.ends_with(".safetensors.index.json")
        || SETTINGS.contains(&name)
        || is_companion(name)
        || is_pickle()
}

fn verify(plan: &ExportPlan, folder: &dyn Folder, run: &RunOptions<'_>) -> Result<Verification> {
    let [planned] = &plan.reports[..] else {
        return Err(Error::invalid(plan.model.base().location(), "is not verified with one report"));
    };
    let mut sink = VerifySink::new(&plan.files, folder)?;
    let export = Pass::prepare(plan, Stage::Verifying, None, run)?.write(&mut sink)?;
    let report = export.report(planned).to_json();
    let compared = ComparedFiles {
        files: plan.files.len(),
        bytes: plan.size(),
        differences: sink.differences(),
        report: report.map_err(|e| Error::invalid(planned.file.as_str(), e.to_string()))?,
    };
    let tensors = plan.files.iter().flat_map(|f| &f.parts).filter(|p| p.content.tensor().is_some()).count();
    Ok(Verification { tensors: Some(tensors), ..compare_report(compared, &planned.file, folder)? })
}
