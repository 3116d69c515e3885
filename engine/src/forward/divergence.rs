//! How far two models' predictions are apart. Logits pass by in blocks of the vocabulary, so none are kept.

use ndarray::{Array2, ArrayView1};

use super::LogitDivergence;
use super::hparams::HyperParameters;
use super::weights::{WeightSource, need, unfit};
use crate::error::{Error, Result};
use crate::progress::RunOptions;

/// One model: its head, and what its layers made of the prompts.
pub(super) struct ModelSide<'a> {
    weights: &'a dyn WeightSource,
    hidden: Array2<f32>,
    cap: Option<f32>,
    head: &'static str,
}

impl<'a> ModelSide<'a> {
    pub(super) fn new(weights: &'a dyn WeightSource, hidden: Array2<f32>, hyper: &HyperParameters) -> Self {
        let own = weights.shape("output.weight").is_some();
        let head = if own { "output.weight" } else { "token_embd.weight" };
        Self { weights, hidden, cap: hyper.final_cap, head }
    }

    fn vocabulary(&self) -> Result<usize> {
        let (rows, columns) = need(self.weights, self.head)?;
        if columns != self.hidden.ncols() {
            return Err(unfit(self.weights, self.head, (rows, columns), (rows, self.hidden.ncols())));
        }
        Ok(rows)
    }

    /// Logits of some of the vocabulary: a row for each token.
    pub(super) fn logits(&self, first: usize, count: usize) -> Result<Array2<f32>> {
        let logits = self.hidden.dot(&self.weights.rows(self.head, first, count)?.t());
        Ok(match self.cap {
            Some(cap) => logits.mapv_into(|x| cap * (x / cap).tanh()),
            None => logits,
        })
    }
}

/// Rows of the vocabulary at a time.
const STEP: usize = 1 << 11;

/// Compares the two for every token. A vocabulary that one pads further than the other is compared as far as both go.
pub(super) fn between(
    one: &ModelSide<'_>,
    other: &ModelSide<'_>,
    run: &RunOptions<'_>,
) -> Result<LogitDivergence> {
    let vocabulary = one.vocabulary()?.min(other.vocabulary()?);
    let mut tokens = vec![TokenStats::default(); one.hidden.nrows()];
    for first in (0..vocabulary).step_by(STEP) {
        if run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let count = STEP.min(vocabulary - first);
        let (ours, theirs) = (one.logits(first, count)?, other.logits(first, count)?);
        for (token, (ours, theirs)) in tokens.iter_mut().zip(ours.rows().into_iter().zip(theirs.rows())) {
            token.see(first, ours, theirs);
        }
    }
    if let Some(token) = tokens.iter().find(|token| !token.difference.is_finite()) {
        let broken = if token.one.log().is_finite() { other } else { one };
        let problem = "predicts something that is no number: its weights, or what becomes of them, are none";
        return Err(Error::invalid(broken.weights.location(), problem));
    }
    let divergences: Vec<f64> = tokens.iter().map(TokenStats::divergence).collect();
    let agreed = tokens.iter().filter(|t| t.one.best == t.other.best).count();
    Ok(LogitDivergence {
        tokens: tokens.len(),
        kl_mean: divergences.iter().sum::<f64>() / tokens.len() as f64,
        kl_max: divergences.iter().copied().fold(0.0, f64::max),
        top1: agreed as f64 / tokens.len() as f64,
    })
}

/// What is known of one token's two distributions so far.
#[derive(Debug, Clone, Default)]
struct TokenStats {
    one: DivergenceSum,
    other: DivergenceSum,
    /// Σ e^a·(a − b) over the vocabulary, times e^−(the largest a).
    difference: f64,
}

/// A sum of exponentials, kept in range by its largest.
#[derive(Debug, Clone)]
struct DivergenceSum {
    most: f64,
    best: usize,
    sum: f64,
}

impl Default for DivergenceSum {
    fn default() -> Self {
        Self { most: f64::NEG_INFINITY, best: 0, sum: 0.0 }
    }
}

impl DivergenceSum {
    /// Adds one; answers what sums so far are to be multiplied by, and e^(x − the largest).
    fn add(&mut self, id: usize, x: f64) -> (f64, f64) {
        let before = self.most;
        if x > before {
            (self.most, self.best) = (x, id);
        }
        let shrink = (before - self.most).exp();
        let term = (x - self.most).exp();
        self.sum = self.sum * shrink + term;
        (shrink, term)
    }

    /// ln Σ e^x
    fn log(&self) -> f64 {
        self.most + self.sum.ln()
    }
}

impl TokenStats {
    fn see(&mut self, first: usize, ours: ArrayView1<'_, f32>, theirs: ArrayView1<'_, f32>) {
        for (n, (a, b)) in ours.iter().zip(theirs).enumerate() {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let (shrink, term) = self.one.add(first + n, a);
            self.difference = self.difference * shrink + term * (a - b);
            self.other.add(first + n, b);
        }
    }

    /// Σ p·(ln p − ln q); rounding can make nothing of it less than that.
    fn divergence(&self) -> f64 {
        (self.difference / self.one.sum - self.one.log() + self.other.log()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    #[test]
    fn the_divergence_is_that_of_the_definition_however_it_is_cut() {
        let (a, b) = ([1.0_f32, -2.0, 0.5, 3.0], [0.5_f32, -1.0, 2.5, 2.0]);
        let softmax = |x: &[f32]| {
            let sum: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
            x.iter().map(|x| f64::from(*x).exp() / sum).collect::<Vec<_>>()
        };
        let (p, q) = (softmax(&a), softmax(&b));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        let mut token = TokenStats::default();
        for (first, (a, b)) in a.chunks(3).zip(b.chunks(3)).enumerate() {
            token.see(3 * first, Array1::from(a.to_vec()).view(), Array1::from(b.to_vec()).view());
        }
        assert!((token.divergence() - expected).abs() < 1e-12, "{} {expected}", token.divergence());
        assert_eq!((token.one.best, token.other.best), (3, 2));
    }

    #[test]
    fn equal_predictions_are_no_distance_apart() {
        let logits = Array1::from(vec![1.0_f32, 2.0, 30.0]);
        let mut token = TokenStats::default();
        token.see(0, logits.view(), logits.view());
        assert!(token.divergence() < 1e-12);
    }
}
