//! A finished export, made again in memory and compared with what is there.

use super::compare::{Compare, Difference};
use super::layout::Layout;
use super::sink::Sink as _;
use super::{MergePlan, Run, write};
use crate::gguf::GgufPlan;
use crate::io::Folder;
use crate::model::Model;
use crate::progress::Stage;
use crate::report::{self, Inputs, Making, Report};
use crate::{Error, Result};

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Files compared, without the report.
    pub files: usize,
    /// Bytes compared.
    pub bytes: u64,
    /// Tensors made again and compared.
    pub tensors: usize,
    /// Whether there was a report, which was compared too.
    pub reported: bool,
    /// What is not as it must be; nothing when all is well.
    pub differences: Vec<Difference>,
    /// The report as it must be.
    pub report: Report,
}

/// Checks a merged folder against its inputs, byte for byte.
///
/// # Errors
/// When an input or an output cannot be read, and as [`merge`](crate::merge). What differs is no error but in the
/// [`Verdict`].
pub fn verify_merge(plan: &MergePlan, folder: &dyn Folder, run: &Run<'_>) -> Result<Verdict> {
    let mut verdict = verify(plan.model(), plan.layouts(), &plan.making(), Report::FILE, folder, run)?;
    let entries = folder.list().map_err(|e| Error::read(folder.location(), e))?;
    let planned = |name: &str| plan.layouts().iter().any(|file| file.name == name);
    let strange = entries.into_iter().filter(|e| e.name.ends_with(".safetensors") && !planned(&e.name));
    verdict.differences.extend(strange.map(|entry| Difference {
        file: entry.name,
        tensor: None,
        problem: "is no file of this model".to_owned(),
    }));
    Ok(verdict)
}

/// Checks a GGUF file, or the files it is split into, against its inputs, byte for byte.
///
/// # Errors
/// As [`verify_merge`].
pub fn verify_gguf(plan: &GgufPlan, name: &str, folder: &dyn Folder, run: &Run<'_>) -> Result<Verdict> {
    verify(plan.model(), &plan.layouts(name), &plan.making(), &Report::beside(name), folder, run)
}

fn verify(
    model: &Model,
    files: &[Layout],
    making: &Making,
    report_file: &str,
    folder: &dyn Folder,
    run: &Run<'_>,
) -> Result<Verdict> {
    let inputs = Inputs::read(model, making, run)?;
    let mut sink = Compare::new(files, folder)?;
    let found = write::write(model, files, Stage::Verifying, &mut sink, run)?;
    let summary = found.judge(model)?;
    let expected = sink.end()?;
    let report = Report::new(model, files, 0..files.len(), making, inputs, &found, summary, &expected);
    let mut differences = sink.differences();
    let of_report = report::compare(&report, report_file, folder)?;
    let reported = of_report.is_some();
    differences.extend(of_report.into_iter().flatten());
    Ok(Verdict {
        files: files.len(),
        bytes: files.iter().map(Layout::size).sum(),
        tensors: files.iter().flat_map(|f| &f.parts).filter(|p| p.content.tensor().is_some()).count(),
        reported,
        differences,
        report,
    })
}
