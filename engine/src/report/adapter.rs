//! The report of an adapter that is copied.

use serde::Serialize;

use super::{FORMAT, InputFiles, MadeBy, OutputFile, to_json};
use crate::check::Finding;
use crate::error::Result;
use crate::peft::Adapter;
use crate::progress::RunOptions;

/// The content of `export-report.json`.
#[derive(Debug, Serialize)]
pub(crate) struct AdapterReport {
    format: u32,
    made_by: MadeBy,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    outputs: Vec<OutputFile>,
    inputs: InputFiles,
}

impl AdapterReport {
    /// Hashes the configuration; every other file equals its output.
    pub(crate) fn new(
        adapter: &Adapter,
        findings: Vec<Finding>,
        outputs: Vec<OutputFile>,
        run: &RunOptions<'_>,
    ) -> Result<Self> {
        Ok(Self {
            format: FORMAT,
            made_by: MadeBy { engine: env!("CARGO_PKG_VERSION").to_owned(), gguf: None },
            kind: "adapter",
            findings,
            inputs: InputFiles::of_copied(adapter, &outputs, run)?,
            outputs,
        })
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        to_json(self)
    }
}
