//! The report of an export: its inputs and outputs by hash, the effect of the adapter, and the error of the stored
//! weights.
//!
//! The same inputs and options give the same bytes: no times, no paths, no sums that depend on threads or chunks.
//! docs/ENGINE.md explains the fields.

mod adapter;
mod inputs;
mod lora;
mod pairs;
mod survival;
mod survival_section;
mod warnings;

use kernels::quant::TypeOverrides;
use serde::Serialize;

use crate::check::Finding;
use crate::checkpoint::ModelFiles;

pub use crate::imatrix::CalibrationUse;
pub(crate) use adapter::AdapterReport;
pub use inputs::{InputFile, InputFiles};
pub(crate) use kernels::error_stats::{ErrorStats, ErrorTotal};
pub(crate) use lora::LoraReport;
pub use pairs::AdapterPair;
pub(crate) use pairs::adapter_pairs;
pub use survival::{AdapterBeside, AnswerSample, PromptUse, Survival, TensorSurvival, TurnEndProbability};
pub use survival_section::{KeptFineTune, survival_section};
pub use warnings::ExportWarning;

/// The version of the shape, raised when a field changes its meaning or is removed.
pub(crate) const FORMAT: u32 = 1;

/// The content of `export-report.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportReport {
    /// The version of this shape: 1.
    pub format: u32,
    /// The versions of engine and format.
    pub made_by: MadeBy,
    /// The kind of export.
    pub kind: ExportKind,
    /// The options of the export.
    pub options: ReportOptions,
    /// What the export could not check.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ExportWarning>,
    /// What programs that serve the model will meet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Totals.
    pub summary: ReportSummary,
    /// How much of the fine-tune is left, if that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub survival: Option<Survival>,
    /// Every output file but the report.
    pub outputs: Vec<OutputFile>,
    /// Every input file.
    pub inputs: InputFiles,
    /// Every change of the adapter, with its target.
    pub pairs: Vec<AdapterPair>,
    /// Modules of the adapter that the base lacks and whose change is exactly zero: left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped_modules: Vec<String>,
    /// Every tensor of the model.
    pub tensors: Vec<TensorReport>,
}

/// Versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MadeBy {
    /// Of the engine.
    pub engine: String,
    /// Of the GGUF format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gguf: Option<u32>,
}

/// The kinds of exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    /// A merged checkpoint.
    Merged,
    /// A GGUF file.
    Gguf,
}

/// The options of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReportOptions {
    /// The model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type of a GGUF file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<&'static str>,
    /// The importance matrix that was used, by the SHA-256 of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<String>,
    /// The text that the importance matrix was computed from, if that was a part of the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationUse>,
    /// Types that replace those of the rules.
    #[serde(skip_serializing_if = "TypeOverrides::is_empty")]
    pub types: TypeOverrides,
    /// The type that weights were rounded to before they were quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<&'static str>,
    /// The most bytes of tensors in one of several files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_max_size: Option<u64>,
    /// `grid` if Q4_0 has the steps of the grid on which the base's weights lie, unlike a file of `llama-quantize`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qat: Option<&'static str>,
}

/// Totals of an export. A change is the difference of a merged weight from the base's; an error is the difference of a
/// stored weight from the merged one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReportSummary {
    /// Changes of the adapter, each with a target.
    pub pairs: usize,
    /// Tensors that differ from the base's.
    pub tensors_changed: usize,
    /// Tensors whose change is exactly zero.
    pub tensors_zero: usize,
    /// Tensors that the adapter does not change: the base's, byte for byte.
    pub tensors_unchanged: usize,
    /// Weights that differ from the base's.
    pub elements_changed: u64,
    /// The largest change.
    pub largest_change: f32,
    /// The mean size of a change, over the target tensors.
    pub mean_change: f64,
    /// The root of the mean squared error, over all stored tensors of a GGUF file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// The largest error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_error: Option<f32>,
}

/// An output file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputFile {
    /// The name.
    pub name: String,
    /// The size.
    pub bytes: u64,
    /// The hash of its content.
    pub sha256: String,
}

/// A tensor of the model: its base, its change, its stored form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorReport {
    /// The name in the checkpoint.
    pub name: String,
    /// The file of the base that it comes from.
    pub file: String,
    /// The element type.
    pub dtype: &'static str,
    /// The shape, rows first.
    pub shape: Vec<u64>,
    /// The bytes read of the base's tensor, and their hash. Missing when the export does not use the tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<ReadBytes>,
    /// `none`, `zero`, `lost` or `changed`. With `none`, the merged tensor has the base's bytes.
    pub effect: &'static str,
    /// The size of the change, where the adapter changes the tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeStats>,
    /// Its form in a GGUF file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredAs>,
}

/// Bytes and their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadBytes {
    /// The number of bytes.
    pub bytes: u64,
    /// The hash, in lower-case hex.
    pub blake3: String,
}

/// Differences of a merged tensor from the base's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChangeStats {
    /// Elements that differ.
    pub elements: u64,
    /// The largest difference.
    pub largest: f32,
    /// The mean size of the difference.
    pub mean: f64,
}

/// A tensor in a GGUF file, and its error against the merged one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredAs {
    /// The name in the file.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub stored_type: &'static str,
    /// The root of the mean squared error.
    pub rmse: f64,
    /// The largest error.
    pub largest_error: f32,
}

/// The part of a report that the plan decides.
#[derive(Debug, Clone)]
pub(crate) struct ReportContext {
    pub(crate) kind: ExportKind,
    pub(crate) options: ReportOptions,
    /// Small files that are read where base or adapter have them.
    pub(crate) companions: Vec<String>,
    pub(crate) warnings: Vec<ExportWarning>,
    pub(crate) findings: Vec<Finding>,
    /// The files of the model that a drafter drafts for.
    pub(crate) target: Option<ModelFiles>,
}

impl ExportReport {
    /// The name of the report in a merged folder.
    pub const FILE: &'static str = "export-report.json";

    /// The name of the report beside a GGUF file, split or not: `model.report.json` for `model.gguf`.
    pub fn beside(gguf: &str) -> String {
        format!("{}.report.json", gguf.strip_suffix(".gguf").unwrap_or(gguf))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never: every field is text or a number.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        to_json(self)
    }
}

/// The text of a report.
fn to_json(report: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    Ok(text)
}
