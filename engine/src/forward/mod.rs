//! Compares the logits of an exported model with those of base and adapter, on a few fixed prompts.
//!
//! This is a second implementation of the arithmetic, independent of the export: LoRA factors are applied by a matrix
//! library, layers are computed as transformers does, the exported file is read back and decoded. Weights are read a
//! chunk of rows at a time, so that memory does not grow with the model; it takes as long as reading both models twice.

mod altup;
mod attention;
mod decoder_layer;
mod divergence;
mod experts;
mod gguf_weights;
mod hidden_states;
mod hparams;
mod mlp;
mod ops;
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
use divergence::{ModelLogits, divergence};
use gguf_weights::GgufWeights;
use hidden_states::hidden_states;
use hparams::ModelHparams;
use ops::ForwardPass;
use reference_weights::ReferenceWeights;
use weights::WeightSource;

/// How far an export's next-token distributions are from those of base and adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LogitDivergence {
    /// The number of tokens whose successor is predicted.
    pub tokens: usize,
    /// The mean Kullback-Leibler divergence of the export's distribution from that of base and adapter, in nats.
    pub kl_mean: f64,
    /// The largest.
    pub kl_max: f64,
    /// The share of tokens for which both have the same most likely successor.
    pub top1: f64,
}

/// Compares a merged checkpoint with the base and adapter it was made from.
///
/// # Errors
/// If either cannot be read, or the model is not supported ([`check_comparable`]).
pub fn compare_merged(model: &Model, merged: &Checkpoint, run: &RunOptions<'_>) -> Result<LogitDivergence> {
    let merged = ReferenceWeights::new(&Model::new(merged))?;
    let hparams = merged.hparams()?;
    compare(model, &merged, &hparams, run)
}

/// Compares a GGUF file, given in all its parts, with the base and adapter it was made from.
///
/// # Errors
/// As [`compare_merged`].
pub fn compare_gguf(
    model: &Model,
    files: &[Arc<dyn Source>],
    run: &RunOptions<'_>,
) -> Result<LogitDivergence> {
    let file = GgufWeights::open(files)?;
    let hparams = file.hparams()?;
    compare(model, &file, &hparams, run)
}

/// Checks that this model's logits can be computed.
///
/// # Errors
/// [`Error::Unsupported`] or [`Error::Invalid`] if they cannot.
pub fn check_comparable(model: &Model) -> Result<()> {
    ReferenceWeights::new(model)?.hparams().map(drop)
}

fn compare(
    model: &Model,
    exported: &dyn WeightSource,
    hparams: &ModelHparams,
    run: &RunOptions<'_>,
) -> Result<LogitDivergence> {
    let reference = ReferenceWeights::new(model)?;
    let tokenizer =
        Tokenizer::open(model.files(), Architecture::of(model.base().config())?, model.embedding_rows())?;
    let prompts = prompts::prompts(&tokenizer.vocabulary.tokens);
    let logits = |weights, hparams| {
        let hidden_states = hidden_states(&ForwardPass { weights, hparams, prompts: &prompts, run })?;
        Ok::<_, Error>(ModelLogits::new(weights, hidden_states, hparams))
    };
    let (reference, exported) = (logits(&reference, &reference.hparams()?)?, logits(exported, hparams)?);
    divergence(&reference, &exported, run)
}

#[cfg(test)]
mod tests;
