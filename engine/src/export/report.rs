//! Builds the report of an export from its plan and what was measured, and writes it.

use super::Export;
use super::stats::TensorStats;
use crate::error::{Error, Result};
use crate::io::Output;
use crate::merge::{MergeEffect, Model, ModelTensor};
use crate::plan::{PartContent, PlannedReport, WrittenFile};
use crate::report::{
    ChangeStats, ErrorTotal, ExportKind, ExportReport, FORMAT, MadeBy, OutputFile, ReadBytes, ReportSummary,
    StoredAs, TensorReport, adapter_pairs,
};

impl Export<'_> {
    /// The report about the files of `planned`.
    pub(super) fn report(&self, planned: &PlannedReport) -> ExportReport {
        let model = &self.plan.model;
        let stored = self.stored(planned);
        let tensors = model.tensors().iter().zip(&self.stats.tensors).zip(&stored);
        let context = &planned.context;
        ExportReport {
            format: FORMAT,
            made_by: MadeBy {
                engine: env!("CARGO_PKG_VERSION").to_owned(),
                gguf: (context.kind == ExportKind::Gguf).then_some(3),
            },
            kind: context.kind,
            options: context.options.clone(),
            warnings: context.warnings.clone(),
            findings: context.findings.clone(),
            summary: self.summary(context.kind, &stored),
            survival: None,
            outputs: self.files[planned.files.clone()].iter().map(OutputFile::from).collect(),
            inputs: self.inputs.clone(),
            pairs: adapter_pairs(model),
            dropped_modules: model.dropped_modules().to_vec(),
            tensors: tensors.map(|((tensor, stats), stored)| report(model, tensor, stats, *stored)).collect(),
        }
    }

    /// How the files of a report store each tensor of the model.
    fn stored(&self, planned: &PlannedReport) -> Vec<Option<StoredTensor<'_>>> {
        let mut stored = vec![None; self.plan.model.tensors().len()];
        for number in planned.files.clone() {
            for (part, error) in self.plan.files[number].parts.iter().zip(&self.stats.errors[number]) {
                if let PartContent::Encoded { tensor, as_type, .. } = &part.content {
                    let (name, as_type) = (part.name.as_str(), as_type.as_str());
                    stored[*tensor] = Some(StoredTensor { name, as_type, error: *error });
                }
            }
        }
        stored
    }

    fn summary(&self, kind: ExportKind, stored: &[Option<StoredTensor<'_>>]) -> ReportSummary {
        let (mut change, mut error) = (ErrorTotal::default(), ErrorTotal::default());
        self.stats.tensors.iter().for_each(|tensor| change.join(&tensor.change));
        stored.iter().flatten().for_each(|stored| error.join(&stored.error));
        let of_gguf = kind == ExportKind::Gguf;
        let count = |effect| self.stats.count(effect);
        let (changed, zero) = (count(MergeEffect::Changed), count(MergeEffect::Zero));
        ReportSummary {
            pairs: self.plan.model.matched_changes().len(),
            tensors_changed: changed,
            tensors_zero: zero,
            tensors_unchanged: self.stats.tensors.len() - changed - zero,
            elements_changed: change.changed,
            largest_change: change.largest,
            mean_change: change.mean(),
            rmse: of_gguf.then(|| error.mean().sqrt()),
            largest_error: of_gguf.then_some(error.largest),
        }
    }
}

/// A tensor as a GGUF file stores it.
#[derive(Clone, Copy)]
struct StoredTensor<'a> {
    name: &'a str,
    as_type: &'static str,
    error: ErrorTotal,
}

fn report(
    model: &Model,
    tensor: &ModelTensor,
    stats: &TensorStats,
    stored: Option<StoredTensor<'_>>,
) -> TensorReport {
    let TensorStats { base, effect, change } = stats;
    TensorReport {
        name: tensor.info.name.clone(),
        file: model.base().shards()[tensor.info.shard].name.clone(),
        dtype: tensor.info.dtype.as_str(),
        shape: tensor.info.shape.clone(),
        base: base.as_ref().map(|read| ReadBytes { bytes: read.bytes, blake3: read.blake3.clone() }),
        effect: match effect {
            MergeEffect::Untouched => "none",
            MergeEffect::Zero => "zero",
            MergeEffect::Lost => "lost",
            MergeEffect::Changed => "changed",
        },
        change: (*effect != MergeEffect::Untouched).then(|| ChangeStats {
            elements: change.changed,
            largest: change.largest,
            mean: change.mean(),
        }),
        stored: stored.map(|stored| StoredAs {
            name: stored.name.to_owned(),
            stored_type: stored.as_type,
            rmse: stored.error.mean().sqrt(),
            largest_error: stored.error.largest,
        }),
    }
}

/// Writes a report again under its name, with what was measured after the export.
///
/// # Errors
/// When it cannot be written.
pub fn rewrite_report(report: &ExportReport, name: &str, output: &mut dyn Output) -> Result<WrittenFile> {
    let written = write(report, name, output)?;
    output.publish(&[name]).map_err(|e| Error::write(name, e))?;
    Ok(written)
}

/// Writes the report as the next file.
pub(super) fn write(report: &ExportReport, name: &str, output: &mut dyn Output) -> Result<WrittenFile> {
    let text = report.to_json().map_err(|e| Error::write(name, e.into()))?;
    WrittenFile::write(name, &text, output)
}
