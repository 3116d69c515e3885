//! The text that the importance matrix of a GGUF is computed from.

use engine::{
    CalibrationText, Imatrix, MeasuredImatrix, Model, Progress, ProgressUpdate, RunOptions, measure_imatrix,
};
use sha2::{Digest as _, Sha256};

use super::{RequestedExport, named_file::FileField};
use crate::error::JobError;

const FIELD: FileField = FileField {
    name: "calibration_uri",
    max_bytes: 8 << 20,
    advice: "give a part of it, because 10240 tokens are used at the most",
};

/// The most chunks of 512 tokens; the default of the command. Each is a pass over the weights.
const MAX_CHUNKS: usize = 20;

/// The name of the matrix in the metadata of the file.
const IMATRIX_FILE: &str = "imatrix.gguf";

/// The tokens of a pass.
const CHUNK_TOKENS: u64 = 512;

/// A text.
pub(crate) struct NamedText {
    name: String,
    bytes: Vec<u8>,
}

/// The text that the record names, if it does.
pub(crate) fn find(requested: &RequestedExport<'_>) -> Result<Option<NamedText>, JobError> {
    let Some(url) = requested.export.calibration_uri.as_deref() else { return Ok(None) };
    let file = FIELD.find(requested, url)?;
    Ok(Some(NamedText { bytes: file.read()?, name: file.name }))
}

impl NamedText {
    fn text(&self) -> CalibrationText<'_> {
        CalibrationText { file: &self.name, bytes: &self.bytes, max_chunks: MAX_CHUNKS }
    }

    /// How many passes over the weights the matrix takes.
    pub(crate) fn passes(&self, model: &Model) -> Result<u64, JobError> {
        Ok(engine::calibration_chunks(model, &self.text())? as u64)
    }

    /// What stands for the matrix in plans.
    pub(crate) fn planned_imatrix(&self) -> Imatrix {
        Imatrix::not_computed(IMATRIX_FILE, self.name.as_str())
    }

    /// Computes the matrix. The progress is in bytes of weights that are read.
    pub(crate) fn measure(&self, model: &Model, run: &RunOptions<'_>) -> Result<Imatrix, JobError> {
        let progress = BytesRead { progress: run.progress, of_pass: model.bytes() };
        let run = RunOptions { progress: &progress, ..*run };
        let measured: MeasuredImatrix = measure_imatrix(model, &self.text(), &run)?;
        Ok(measured.imatrix(IMATRIX_FILE)?)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }
}

/// Progress in bytes of weights, in place of tokens.
struct BytesRead<'a> {
    progress: &'a dyn Progress,
    of_pass: u64,
}

impl Progress for BytesRead<'_> {
    fn report(&self, update: ProgressUpdate) {
        let bytes = |tokens: u64| tokens / CHUNK_TOKENS * self.of_pass;
        self.progress.report(ProgressUpdate {
            done: bytes(update.done),
            total: bytes(update.total),
            ..update
        });
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}
