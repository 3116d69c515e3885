//! The proof of an export: what it was made of, what became of it, and how far the two are apart.
//!
//! The same inputs and options give the same bytes: no times, no paths, no sums that depend on threads or blocks.
//! docs/ENGINE.md explains the fields.

mod error_stats;
mod inputs;
mod pairs;

use serde::Serialize;

pub(crate) use error_stats::{ErrorStats, ErrorTotal};
pub use inputs::{InputFile, InputFiles};
pub use pairs::AdapterPair;
pub(crate) use pairs::adapter_pairs;

/// Changes whenever a field changes its meaning or goes away.
pub(crate) const FORMAT: u32 = 1;

/// The content of `export-report.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportReport {
    /// The version of this shape: 1.
    pub format: u32,
    /// What made the export.
    pub made_by: MadeBy,
    /// What was made.
    pub kind: ExportKind,
    /// What was asked for.
    pub options: ReportOptions,
    /// The whole in a few numbers.
    pub summary: ReportSummary,
    /// Every file that was made, but this one.
    pub outputs: Vec<OutputFile>,
    /// Every file that was read.
    pub inputs: InputFiles,
    /// Every part of the adapter and the tensor it went to.
    pub pairs: Vec<AdapterPair>,
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

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReportOptions {
    /// What the model is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type of a GGUF file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<&'static str>,
    /// The importance matrix that was used, by the SHA-256 of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<String>,
    /// The type that weights were rounded to before they were quantised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<&'static str>,
    /// The most bytes of tensors in one of several files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_max_size: Option<u64>,
}

/// The whole in a few numbers. A change is of a weight from the base's to the merged one; an error is that of the
/// stored form of the merged weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReportSummary {
    /// Parts of the adapter, each of which went to a tensor.
    pub pairs: usize,
    /// Tensors that differ from the base's.
    pub tensors_changed: usize,
    /// Tensors whose part of the adapter is exactly zero.
    pub tensors_zero: usize,
    /// Tensors no part of the adapter belongs to: the base's, byte for byte.
    pub tensors_unchanged: usize,
    /// Weights that differ from the base's.
    pub elements_changed: u64,
    /// The largest change.
    pub largest_change: f32,
    /// The mean size of a change, over the tensors the adapter belongs to.
    pub mean_change: f64,
    /// The root of the mean squared error, over all stored tensors of a GGUF file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// The largest error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_error: Option<f32>,
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputFile {
    /// The name.
    pub name: String,
    /// The size.
    pub bytes: u64,
    /// The hash of its content.
    pub sha256: String,
}

/// What became of a tensor.
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
    /// What was read of the base's bytes, and their hash. Missing when the export has no use for the tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<ReadBytes>,
    /// What the adapter did. Where it is `none`, the merged tensor has the base's bytes.
    pub effect: &'static str,
    /// How far it went, where a part of the adapter belongs to the tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeStats>,
    /// How a GGUF file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredAs>,
}

/// Bytes and their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadBytes {
    /// How many.
    pub bytes: u64,
    /// The hash, in lower-case hex.
    pub blake3: String,
}

/// How far a merged tensor is from the base's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChangeStats {
    /// Elements that differ.
    pub elements: u64,
    /// The largest difference.
    pub largest: f32,
    /// The mean size of the difference.
    pub mean: f64,
}

/// A tensor in a GGUF file, and how far it is from the merged one.
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

/// What a plan says about the export, besides tensors.
#[derive(Debug, Clone)]
pub(crate) struct ReportContext {
    pub(crate) kind: ExportKind,
    pub(crate) options: ReportOptions,
    /// Small files that are read where base or adapter have them.
    pub(crate) companions: Vec<String>,
}

impl ExportReport {
    /// What the report is called in a merged folder.
    pub const FILE: &'static str = "export-report.json";

    /// What the report beside a GGUF file, split or not, is called: `model.gguf` has `model.report.json`.
    pub fn beside(gguf: &str) -> String {
        format!("{}.report.json", gguf.strip_suffix(".gguf").unwrap_or(gguf))
    }

    /// As it is written.
    ///
    /// # Errors
    /// Never: every field is text or a number.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}
