//! Whether an exported model still says what base and adapter say: both read a few fixed prompts, and their
//! predictions of every next token are compared.
//!
//! This is a second, separate way through the arithmetic: LoRA factors are applied by a matrix library, layers
//! are computed as the published models do, the exported file is read back and decoded. Weights pass by in blocks of
//! rows, so that memory does not grow with the model; it takes as long as reading both models twice.

mod altup;
mod attend;
mod attention;
mod block;
mod checkpointed;
mod distance;
mod experts;
mod feed;
mod forward;
mod hyper;
mod keys;
mod pass;
mod per_layer;
mod prompts;
mod quantised;
mod weights;

use std::sync::Arc;

use serde::Serialize;

use crate::arch::Architecture;
use crate::checkpoint::Checkpoint;
use crate::io::Source;
use crate::model::Model;
use crate::pipeline::Run;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
use checkpointed::Checkpointed;
use hyper::Hyper;
use quantised::Quantised;
use weights::Weights;

/// How close an export's predictions are to those of base and adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Logits {
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
pub fn compare_merged(model: &Model, merged: &Checkpoint, run: &Run<'_>) -> Result<Logits> {
    let merged = Checkpointed::new(&Model::new(merged))?;
    let hyper = merged.hyper()?;
    compare(model, &merged, &hyper, run)
}

/// Compares a GGUF file, given in all its parts, with the base and adapter it was made of.
///
/// # Errors
/// As [`compare_merged`].
pub fn compare_gguf(model: &Model, files: &[Arc<dyn Source>], run: &Run<'_>) -> Result<Logits> {
    let file = Quantised::open(files)?;
    let hyper = file.hyper()?;
    compare(model, &file, &hyper, run)
}

/// Checks that this model has a forward pass here.
///
/// # Errors
/// Why it has none.
pub fn check_comparable(model: &Model) -> Result<()> {
    Checkpointed::new(model)?.hyper().map(drop)
}

fn compare(model: &Model, exported: &dyn Weights, hyper: &Hyper, run: &Run<'_>) -> Result<Logits> {
    let reference = Checkpointed::new(model)?;
    let tokenizer = Tokenizer::of(model, Architecture::of(model.base().config())?)?;
    let prompts = prompts::prompts(&tokenizer.vocabulary.tokens);
    let side = |weights, hyper| {
        let hidden = forward::hidden(weights, hyper, &prompts, run)?;
        Ok::<_, Error>(distance::Side::new(weights, hidden, hyper))
    };
    let (one, other) = (side(&reference, &reference.hyper()?)?, side(exported, hyper)?);
    distance::between(&one, &other, run)
}

#[cfg(test)]
mod tests;
