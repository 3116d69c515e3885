//! The report of an adapter as a GGUF file.

use serde::Serialize;

use super::{AdapterPair, ExportWarning, FORMAT, InputFiles, MadeBy, OutputFile, adapter_pairs, to_json};
use crate::check::Finding;
use crate::error::Result;
use crate::merge::Model;
use crate::progress::RunOptions;

/// The content of `my-adapter.report.json`.
#[derive(Debug, Serialize)]
pub(crate) struct LoraReport {
    format: u32,
    made_by: MadeBy,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<ExportWarning>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    outputs: Vec<OutputFile>,
    inputs: InputFiles,
    pairs: Vec<AdapterPair>,
}

impl LoraReport {
    /// Hashes the inputs that are not hashed yet.
    pub(crate) fn new(
        model: &Model,
        findings: Vec<Finding>,
        output: OutputFile,
        run: &RunOptions<'_>,
    ) -> Result<Self> {
        Ok(Self {
            format: FORMAT,
            made_by: MadeBy { engine: env!("CARGO_PKG_VERSION").to_owned(), gguf: Some(3) },
            kind: "lora",
            warnings: ExportWarning::of_adapter(model),
            findings,
            outputs: vec![output],
            inputs: InputFiles::read(model, None, run)?,
            pairs: adapter_pairs(model),
        })
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        to_json(self)
    }
}
