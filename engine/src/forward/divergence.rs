//! The Kullback-Leibler divergence of two models' logits. Logits are computed for a part of the vocabulary at a time,
//! and only their sums are kept.

use ndarray::{Array2, ArrayView1};

use super::LogitDivergence;
use super::hparams::ModelHparams;
use super::weights::{WeightSource, require_shape, shape_mismatch};
use crate::error::{Error, Result};
use crate::progress::RunOptions;

/// One model's hidden states and lm_head.
pub(super) struct ModelLogits<'a> {
    weights: &'a dyn WeightSource,
    hidden_states: Array2<f32>,
    final_logit_softcapping: Option<f32>,
    /// The lm_head's tensor, or the embedding's where they are tied.
    lm_head: &'static str,
}

impl<'a> ModelLogits<'a> {
    pub(super) fn new(
        weights: &'a dyn WeightSource,
        hidden_states: Array2<f32>,
        hparams: &ModelHparams,
    ) -> Self {
        let is_untied = weights.shape("output.weight").is_some();
        let lm_head = if is_untied { "output.weight" } else { "token_embd.weight" };
        let final_logit_softcapping = hparams.final_logit_softcapping;
        Self { weights, hidden_states, final_logit_softcapping, lm_head }
    }

    fn vocab_size(&self) -> Result<usize> {
        let (rows, columns) = require_shape(self.weights, self.lm_head)?;
        let hidden_size = self.hidden_states.ncols();
        if columns != hidden_size {
            return Err(shape_mismatch(self.weights, self.lm_head, (rows, columns), (rows, hidden_size)));
        }
        Ok(rows)
    }

    /// The logits of `count` tokens of the vocabulary: a row for each token of the prompts.
    pub(super) fn of_tokens(&self, first: usize, count: usize) -> Result<Array2<f32>> {
        let logits = self.hidden_states.dot(&self.weights.rows(self.lm_head, first, count)?.t());
        Ok(match self.final_logit_softcapping {
            Some(cap) => logits.mapv_into(|x| cap * (x / cap).tanh()),
            None => logits,
        })
    }
}

/// Tokens of the vocabulary whose logits are computed at a time.
const CHUNK_TOKENS: usize = 1 << 11;

/// The divergence of `exported` from `reference`. Vocabularies of different sizes, because one is padded, are compared
/// up to the smaller size.
pub(super) fn divergence(
    reference: &ModelLogits<'_>,
    exported: &ModelLogits<'_>,
    run: &RunOptions<'_>,
) -> Result<LogitDivergence> {
    let vocab_size = reference.vocab_size()?.min(exported.vocab_size()?);
    let mut tokens = vec![TokenDivergence::default(); reference.hidden_states.nrows()];
    for first in (0..vocab_size).step_by(CHUNK_TOKENS) {
        if run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let count = CHUNK_TOKENS.min(vocab_size - first);
        let (expected, found) = (reference.of_tokens(first, count)?, exported.of_tokens(first, count)?);
        for (token, (expected, found)) in tokens.iter_mut().zip(expected.rows().into_iter().zip(found.rows()))
        {
            token.add(first, expected, found);
        }
    }
    if let Some(token) = tokens.iter().find(|token| !token.difference.is_finite()) {
        let invalid = if token.reference.log().is_finite() { exported } else { reference };
        let problem = "produces NaN or infinite logits";
        return Err(Error::invalid(invalid.weights.location(), problem));
    }
    let divergences: Vec<f64> = tokens.iter().map(TokenDivergence::value).collect();
    let agreed = tokens.iter().filter(|t| t.reference.argmax == t.exported.argmax).count();
    Ok(LogitDivergence {
        tokens: tokens.len(),
        kl_mean: divergences.iter().sum::<f64>() / tokens.len() as f64,
        kl_max: divergences.iter().copied().fold(0.0, f64::max),
        top1: agreed as f64 / tokens.len() as f64,
    })
}

/// One token's two distributions, as far as the vocabulary was read.
#[derive(Debug, Clone, Default)]
struct TokenDivergence {
    reference: LogSumExp,
    exported: LogSumExp,
    /// Σ e^a·(a − b) over the vocabulary, times e^−(the largest a); a is the reference's logit, b the export's.
    difference: f64,
}

/// A sum of exponentials, divided by the largest so that it does not overflow.
#[derive(Debug, Clone)]
struct LogSumExp {
    max: f64,
    argmax: usize,
    sum: f64,
}

impl Default for LogSumExp {
    fn default() -> Self {
        Self { max: f64::NEG_INFINITY, argmax: 0, sum: 0.0 }
    }
}

impl LogSumExp {
    /// Adds e^x. Returns the factor that rescales sums from before to the new largest, and e^(x − the largest).
    fn add(&mut self, id: usize, x: f64) -> (f64, f64) {
        let before = self.max;
        if x > before {
            (self.max, self.argmax) = (x, id);
        }
        let rescale = (before - self.max).exp();
        let term = (x - self.max).exp();
        self.sum = self.sum * rescale + term;
        (rescale, term)
    }

    /// ln Σ e^x
    fn log(&self) -> f64 {
        self.max + self.sum.ln()
    }
}

impl TokenDivergence {
    /// Adds the logits of the vocabulary from `first` on.
    fn add(&mut self, first: usize, reference: ArrayView1<'_, f32>, exported: ArrayView1<'_, f32>) {
        for (n, (a, b)) in reference.iter().zip(exported).enumerate() {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let (rescale, term) = self.reference.add(first + n, a);
            self.difference = self.difference * rescale + term * (a - b);
            self.exported.add(first + n, b);
        }
    }

    /// Σ p·(ln p − ln q), at least 0 whatever rounding does.
    fn value(&self) -> f64 {
        (self.difference / self.reference.sum - self.reference.log() + self.exported.log()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    #[test]
    fn the_divergence_is_that_of_the_definition_in_chunks_of_any_size() {
        let (a, b) = ([1.0_f32, -2.0, 0.5, 3.0], [0.5_f32, -1.0, 2.5, 2.0]);
        let softmax = |x: &[f32]| {
            let sum: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
            x.iter().map(|x| f64::from(*x).exp() / sum).collect::<Vec<_>>()
        };
        let (p, q) = (softmax(&a), softmax(&b));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        let mut token = TokenDivergence::default();
        for (first, (a, b)) in a.chunks(3).zip(b.chunks(3)).enumerate() {
            token.add(3 * first, Array1::from(a.to_vec()).view(), Array1::from(b.to_vec()).view());
        }
        assert!((token.value() - expected).abs() < 1e-12, "{} {expected}", token.value());
        assert_eq!((token.reference.argmax, token.exported.argmax), (3, 2));
    }

    #[test]
    fn equal_logits_have_no_divergence() {
        let logits = Array1::from(vec![1.0_f32, 2.0, 30.0]);
        let mut token = TokenDivergence::default();
        token.add(0, logits.view(), logits.view());
        assert!(token.value() < 1e-12);
    }
}
