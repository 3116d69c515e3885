//! The forward pass: next-token distributions of a model from its weights, for several models side by side.
//!
//! This is a second implementation of the arithmetic, independent of the export: LoRA factors are applied by a matrix
//! library, layers are computed as transformers does, the exported file is read back and decoded. Weights are read a
//! chunk of rows at a time, so that memory does not grow with the model.

mod added_rows;
mod altup;
mod attention;
mod beside_weights;
mod decoder_layer;
mod divergence;
mod experts;
mod generate;
mod gguf_weights;
mod hidden_states;
mod hparams;
mod input_sums;
mod kv_cache;
mod lockstep;
mod matrix_product;
mod mlp;
mod model;
mod ops;
mod parallel;
mod passages;
mod per_layer_embedding;
mod prompts;
mod reference_weights;
mod self_attention;
mod weight_changes;
mod weights;

use std::sync::Arc;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::io::Source;
use crate::merge::Model;
use crate::progress::RunOptions;

pub(crate) use divergence::TokenPredictions;
pub(crate) use generate::{AnswerEnd, BegunAnswer, GreedyAnswer};
pub(crate) use input_sums::{InputSums, TensorInputs};
pub(crate) use model::ForwardModel;
pub(crate) use parallel::in_parallel;
pub(crate) use passages::{NextToken, Passage, greedy_answers, input_sums, predictions, token_probabilities};
pub(crate) use prompts::{fixed_prompts, tokenizer};
pub(crate) use weight_changes::weight_changes;

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
    compare(model, &ForwardModel::of_model(&Model::new(merged))?, run)
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
    compare(model, &ForwardModel::of_gguf(files)?, run)
}

/// Checks that this model's logits for texts can be computed: the engine runs it, and it has a tokenizer.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported), [`Error::Invalid`](crate::Error::Invalid) or
/// [`Error::Missing`](crate::Error::Missing) if they cannot.
pub fn check_comparable(model: &Model) -> Result<()> {
    ForwardModel::of_model(model)?;
    tokenizer(model).map(drop)
}

fn compare(model: &Model, exported: &ForwardModel, run: &RunOptions<'_>) -> Result<LogitDivergence> {
    let reference = ForwardModel::of_model(model)?;
    let prompts = fixed_prompts(&tokenizer(model)?);
    let (tokens, _) = predictions(&[&reference, exported], &prompts, None, run)?;
    Ok(LogitDivergence::of(&tokens, 0))
}

impl LogitDivergence {
    /// That of another model from the reference.
    pub(crate) fn of(tokens: &[TokenPredictions], other: usize) -> Self {
        let count = tokens.len() as f64;
        let divergences: Vec<f64> = tokens.iter().map(|token| token.divergence(other)).collect();
        let agreed = tokens.iter().filter(|token| token.expected() == token.found(other)).count();
        Self {
            tokens: tokens.len(),
            kl_mean: divergences.iter().sum::<f64>() / count,
            kl_max: divergences.iter().copied().fold(0.0, f64::max),
            top1: agreed as f64 / count,
        }
    }
}

#[cfg(test)]
mod tests;
