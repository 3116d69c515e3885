//! Importance matrices of a model with its adapter: a text goes through the layers, and the squares of what each matrix is
//! multiplied with are summed. The numbers are those of llama.cpp's `llama-imatrix` for an F32 file.

mod imatrix_file;

pub use imatrix_file::MeasuredImatrix;

use crate::error::{Error, Result};
use crate::forward::{ForwardModel, InputSums, input_sums, tokenizer};
use crate::left_out::LeftOut;
use crate::merge::Model;
use crate::progress::{ProgressUpdate, RunOptions, Stage};
use crate::survival::{is_training_set, training_set_tokens};
use crate::tokenizer::{TextEncoder, Tokenizer};

/// The tokens of a chunk, which are computed together; the default of `llama-imatrix`.
const CHUNK_TOKENS: usize = 512;
/// The hidden states of a chunk's tokens that are in memory at the same time, in rows of the widest matrix.
const STATES: usize = 4;
/// Bytes of the weights that a chunk is multiplied with at a time: as they are stored, as f32, and as the matrix library packs them.
const CHUNK_BUFFERS: u64 = 32 << 20;

/// The text that an importance matrix is made of.
#[derive(Debug, Clone, Copy)]
pub struct CalibrationText<'a> {
    /// The name of its file, which becomes `imatrix.datasets`.
    pub file: &'a str,
    /// A text, or a training set as for prompts, whose conversations are rendered through the model's chat template.
    pub bytes: &'a [u8],
    /// The most chunks of 512 tokens that are used.
    pub max_chunks: usize,
}

/// What computing an importance matrix takes, before it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationCost {
    /// The chunks of the text.
    pub chunks: u64,
    /// About the bytes of memory for each chunk that is computed at the same time.
    pub chunk_memory: u64,
    /// Whether chunks that are computed at the same time read the weights once. Those of a mixture of experts need different ones.
    pub shares_reads: bool,
}

/// Computes the importance matrix of a model, with its adapter applied but not rounded. As many chunks are computed at the same time as
/// there are threads, and they read the weights once.
///
/// # Errors
/// When the text has less than a chunk, the model is not supported ([`check_comparable`](crate::check_comparable)), or an input
/// cannot be read; and [`Error::Cancelled`] when the caller asked to stop.
pub fn measure_imatrix(
    model: &Model,
    text: &CalibrationText<'_>,
    run: &RunOptions<'_>,
) -> Result<MeasuredImatrix> {
    let shares_reads = !ForwardModel::of_model(model)?.has_experts();
    let (chunks, left_out) = chunks(model, text)?;
    let sums = InputSums::default();
    let mut done = 0;
    for side_by_side in chunks.chunks(run.threads()) {
        let readers = if shares_reads { side_by_side.len() } else { 1 };
        let forward = ForwardModel::of_model(&model.with_shared_reads(readers))?;
        // joined in their order, so that the sums do not depend on threads
        for of_chunk in input_sums(&forward, side_by_side, run)? {
            sums.join(of_chunk);
        }
        done += side_by_side.len();
        let tokens = |chunks: usize| (chunks * CHUNK_TOKENS) as u64;
        let (done, total) = (tokens(done), tokens(chunks.len()));
        run.progress.report(ProgressUpdate { stage: Stage::Calibrating, done, total });
    }
    let tensors = sums.into_tensors();
    match tensors.iter().find(|(_, inputs)| inputs.sums.iter().any(|sum| !sum.is_finite())) {
        Some((tensor, _)) => {
            Err(Error::tensor(model.base().location(), tensor, "has inputs that are NaN or infinite"))
        }
        None => Ok(MeasuredImatrix::new(&tensors, text, (chunks.len(), left_out))),
    }
}

/// What the importance matrix of this model from a text takes. Reads the tokenizer and no weights.
///
/// # Errors
/// As [`measure_imatrix`]: when the text has less than a chunk, cannot be parsed or rendered, or the model is not supported.
pub fn calibration_cost(model: &Model, text: &CalibrationText<'_>) -> Result<CalibrationCost> {
    let forward = ForwardModel::of_model(model)?;
    Ok(CalibrationCost {
        chunks: chunks(model, text)?.0.len() as u64,
        chunk_memory: CHUNK_BUFFERS + (CHUNK_TOKENS * STATES * forward.most_rows()) as u64 * 4,
        shares_reads: !forward.has_experts(),
    })
}

/// The first chunks, each with `<bos>` in place of its first token, as in `llama-imatrix`; and the conversations that were left out.
fn chunks(model: &Model, text: &CalibrationText<'_>) -> Result<(Vec<Vec<usize>>, Option<LeftOut>)> {
    let tokenizer = tokenizer(model)?;
    let bos = tokenizer.special_id("bos").map(|id| id as usize);
    let (ids, left_out) = ids(model, &tokenizer, text)?;
    let tokens: Vec<usize> = bos.into_iter().chain(ids).collect();
    let mut chunks: Vec<Vec<usize>> =
        tokens.chunks_exact(CHUNK_TOKENS).take(text.max_chunks).map(<[usize]>::to_vec).collect();
    for chunk in &mut chunks {
        chunk[0] = bos.unwrap_or(chunk[0]);
    }
    if chunks.is_empty() {
        let problem = format!(
            "has {} tokens{}, and an importance matrix needs {CHUNK_TOKENS} at least: give more text like what the model will write",
            tokens.len(),
            left_out.map(|left_out| format!(" ({left_out})")).unwrap_or_default()
        );
        return Err(Error::invalid(text.file, problem));
    }
    Ok((chunks, left_out))
}

fn ids(
    model: &Model,
    tokenizer: &Tokenizer,
    text: &CalibrationText<'_>,
) -> Result<(Vec<usize>, Option<LeftOut>)> {
    let most = text.max_chunks.saturating_mul(CHUNK_TOKENS);
    if is_training_set(text.file, text.bytes) {
        return training_set_tokens(model, tokenizer, (text.file, text.bytes), most);
    }
    let plain =
        std::str::from_utf8(text.bytes).map_err(|_| Error::invalid(text.file, "is not UTF-8 text"))?;
    let plain = plain.strip_suffix('\n').unwrap_or(plain);
    let ids = TextEncoder::new(tokenizer).encode_first(plain, most);
    Ok((ids.into_iter().map(|id| id as usize).collect(), None))
}

#[cfg(test)]
mod tests;
