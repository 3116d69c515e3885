//! The text that the importance matrix of a GGUF is computed from.

use std::num::NonZeroUsize;

use engine::{
    CalibrationText, Imatrix, MeasuredImatrix, Model, Progress, ProgressUpdate, RunOptions, calibration_cost,
    measure_imatrix,
};
use sha2::{Digest as _, Sha256};

use super::{RequestedExport, named_file::FileField};
use crate::{error::JobError, estimate::CalibrationWork, machine::JobMachine};

const FIELD: FileField = FileField {
    name: "calibration_uri",
    max_bytes: 8 << 20,
    advice: "give a part of it, because 10240 tokens are used at the most",
};

/// The most chunks of 512 tokens; the default of the command.
const MAX_CHUNKS: usize = 20;

/// The name of the matrix in the metadata of the file.
const IMATRIX_FILE: &str = "imatrix.gguf";

/// The tokens of a chunk.
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

    /// What the matrix takes on that machine.
    ///
    /// # Errors
    /// When the text cannot be used, and when the matrix would take longer than the job may run.
    pub(crate) fn work(&self, model: &Model, machine: JobMachine) -> Result<CalibrationWork, JobError> {
        let cost = calibration_cost(model, &self.text());
        let cost = cost.map_err(|error| JobError::from(error).of_field(FIELD.name))?;
        let work = CalibrationWork::new(model.bytes(), cost, machine);
        let time = work.time(machine);
        match machine.timeout.filter(|limit| time > *limit) {
            None => Ok(work),
            Some(limit) => Err(JobError::InvalidInput(format!(
                "computing an importance matrix of this model from {} would take {} s, and the export job ends after {} s: \
                 compute it with gemma-export imatrix and name its file in imatrix, or give a shorter text",
                self.name,
                time.as_secs(),
                limit.as_secs()
            ))
            .of_field(FIELD.name)),
        }
    }

    /// What stands for the matrix in plans.
    pub(crate) fn planned_imatrix(&self) -> Imatrix {
        Imatrix::not_computed(IMATRIX_FILE, self.name.as_str())
    }

    /// Computes the matrix, for which `work` is planned. The progress is in bytes of weights that are multiplied with.
    pub(crate) fn measure(
        &self,
        model: &Model,
        work: CalibrationWork,
        run: &RunOptions<'_>,
    ) -> Result<Imatrix, JobError> {
        let progress = WeightsUsed { progress: run.progress, of_chunk: model.bytes() };
        let threads = NonZeroUsize::new(work.at_once as usize);
        let run = RunOptions { progress: &progress, threads, ..*run };
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
struct WeightsUsed<'a> {
    progress: &'a dyn Progress,
    of_chunk: u64,
}

impl Progress for WeightsUsed<'_> {
    fn report(&self, update: ProgressUpdate) {
        let bytes = |tokens: u64| tokens / CHUNK_TOKENS * self.of_chunk;
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
