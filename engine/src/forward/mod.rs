//! Whether an exported model still says what base and adapter say: both read a few fixed prompts, and their
//! predictions of every next token are compared.
//!
//! This is a second, separate way through the arithmetic: LoRA factors are applied by a matrix library, layers
//! are computed as the published models do, the exported file is read back and decoded. Weights pass by in blocks of
//! rows, so that memory does not grow with the model; it takes as long as reading both models twice.

mod altup;
mod attention;
mod decoder_layer;
mod divergence;
mod experts;
mod gguf_metadata;
mod gguf_weights;
mod hparams;
mod linear;
mod mlp;
mod model_pass;
mod per_layer_embedding;
mod prompts;
mod reference_weights;
mod self_attention;
mod weights;

use std::sync::Arc;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::gemma::Architecture;
use crate::io::Source;
use crate::merge::Model;
use crate::progress::RunOptions;
use crate::tokenizer::Tokenizer;
use gguf_weights::GgufWeights;
use hparams::HyperParameters;
use reference_weights::ReferenceWeights;
use weights::WeightSource;

/// How close an export's predictions are to those of base and adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LogitDivergence {
    /// Tokens predicted.
    pub tokens: usize,
    /// The mean Kullback-Leibler divergence of the export's distribution from base and adapter's, in nats.
    pub kl_mean: f64,
    /// The largest.
    pub kl_max: f64,
    /// The share of tokens for which both find the same one most likely.
    pub top1: f64,
}

/// Compares a merged checkpoint with the base and adapter it was made of.
///
/// # Errors
/// When either cannot be read, or the model has no forward pass here ([`check_comparable`]).
pub fn compare_merged(model: &Model, merged: &Checkpoint, run: &RunOptions<'_>) -> Result<LogitDivergence> {
    let merged = ReferenceWeights::new(&Model::new(merged))?;
    let hyper = merged.hyper()?;
    compare(model, &merged, &hyper, run)
}

/// Compares a GGUF file, given in all its parts, with the base and adapter it was made of.
///
/// # Errors
/// As [`compare_merged`].
pub fn compare_gguf(
    model: &Model,
    files: &[Arc<dyn Source>],
    run: &RunOptions<'_>,
) -> Result<LogitDivergence> {
    let file = GgufWeights::open(files)?;
    let hyper = file.hyper()?;
    compare(model, &file, &hyper, run)
}

/// Checks that this model has a forward pass here.
///
/// # Errors
/// Why it has none.
pub fn check_comparable(model: &Model) -> Result<()> {
    ReferenceWeights::new(model)?.hyper().map(drop)
}

fn compare(
    model: &Model,
    exported: &dyn WeightSource,
    hyper: &HyperParameters,
    run: &RunOptions<'_>,
) -> Result<LogitDivergence> {
    let reference = ReferenceWeights::new(model)?;
    let tokenizer =
        Tokenizer::of(model.files(), Architecture::of(model.base().config())?, model.embedding_rows())?;
    let prompts = prompts::prompts(&tokenizer.vocabulary.tokens);
    let side = |weights, hyper| {
        let hidden = model_pass::hidden(weights, hyper, &prompts, run)?;
        Ok::<_, Error>(divergence::ModelSide::new(weights, hidden, hyper))
    };
    let (one, other) = (side(&reference, &reference.hyper()?)?, side(exported, hyper)?);
    divergence::between(&one, &other, run)
}

#[cfg(test)]
mod tests;
