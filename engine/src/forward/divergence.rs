//! The Kullback-Leibler divergence of models' logits from those of a reference. Logits are computed for a part of the
//! vocabulary at a time, and only their sums are kept.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, Axis};

use super::hparams::ModelHparams;
use super::matrix_product::multiply;
use super::parallel::in_parallel;
use super::weights::{WeightSource, require_shape, shape_mismatch};
use crate::error::{Error, Result};
use crate::progress::RunOptions;

/// Hidden states of one model, and its lm_head.
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
        let logits = multiply(&self.hidden_states, &self.weights.rows(self.lm_head, first, count)?);
        Ok(match self.final_logit_softcapping {
            Some(cap) => logits.mapv_into(|x| cap * (x / cap).tanh()),
            None => logits,
        })
    }

    #[cfg(test)]
    pub(super) fn of_vocabulary(&self) -> Result<Array2<f32>> {
        self.of_tokens(0, self.vocab_size()?)
    }

    /// The most likely token after each row.
    pub(super) fn most_likely(&self, run: &RunOptions<'_>) -> Result<Vec<usize>> {
        let largest = self.reduce(run, |largest, first, logits| _ = largest.raise_to(first, logits))?;
        self.check_finite(largest.iter().all(|largest| largest.max.is_finite()))?;
        Ok(largest.into_iter().map(|largest| largest.argmax).collect())
    }

    /// For each row, what `add` makes of the logits of all parts of the vocabulary, each with its first token.
    fn reduce(
        &self,
        run: &RunOptions<'_>,
        add: impl Fn(&mut LogSumExp, usize, ArrayView1<'_, f32>) + Sync,
    ) -> Result<Vec<LogSumExp>> {
        let none = vec![LogSumExp::default(); self.hidden_states.nrows()];
        let add_chunk = |sums: &mut [LogSumExp], first, count| {
            let logits = self.of_tokens(first, count)?;
            sums.iter_mut().zip(logits.rows()).for_each(|(sum, logits)| add(sum, first, logits));
            Ok(())
        };
        over_vocabulary(self.vocab_size()?, none, run, add_chunk, |sum, part| _ = sum.join(part))
    }

    fn check_finite(&self, is_finite: bool) -> Result<()> {
        match is_finite {
            true => Ok(()),
            false => Err(Error::invalid(self.weights.location(), "produces NaN or infinite logits")),
        }
    }

    /// Those after some of the rows.
    pub(super) fn of_rows(&self, rows: &[usize]) -> Self {
        Self { hidden_states: self.hidden_states.select(Axis(0), rows), ..*self }
    }

    /// The probability of `token` after each row.
    pub(super) fn probabilities(&self, token: usize, run: &RunOptions<'_>) -> Result<Vec<f64>> {
        let sums = self.reduce(run, |sum, first, logits| {
            sum.raise_to(first, logits);
            logits.iter().for_each(|logit| _ = sum.add(f64::from(*logit)));
        })?;
        self.check_finite(sums.iter().all(|sum| sum.log().is_finite()))?;
        let logits = self.of_tokens(token, 1)?;
        Ok(sums.iter().zip(&logits).map(|(sum, logit)| (f64::from(*logit) - sum.log()).exp()).collect())
    }
}

/// Tokens of the vocabulary whose logits are computed at a time.
const CHUNK_TOKENS: usize = 1 << 11;
/// The parts into which the vocabulary is divided, so that sums do not depend on the number of threads.
const PARTS: usize = 8;

fn vocabulary_parts(vocab_size: usize) -> Vec<Range<usize>> {
    let size = vocab_size.div_ceil(PARTS).max(1);
    (0..vocab_size).step_by(size).map(|first| first..vocab_size.min(first + size)).collect()
}

/// What `add_chunk` makes of `none` with the logits of each part of the vocabulary, chunk by chunk, joined in the order of the parts.
fn over_vocabulary<T: Clone + Send + Sync>(
    vocab_size: usize,
    none: Vec<T>,
    run: &RunOptions<'_>,
    add_chunk: impl Fn(&mut [T], usize, usize) -> Result<()> + Sync,
    join: impl Fn(&mut T, &T),
) -> Result<Vec<T>> {
    let parts = in_parallel(vocabulary_parts(vocab_size).into_iter(), run, |part| {
        let mut rows = none.clone();
        for_each_chunk(&part, run, |first, count| add_chunk(&mut rows, first, count))?;
        Ok(rows)
    })?;
    let mut rows = none;
    for part in &parts {
        rows.iter_mut().zip(part).for_each(|(row, part)| join(row, part));
    }
    Ok(rows)
}

/// Calls `each` with the first token and the number of tokens of every chunk.
fn for_each_chunk(
    part: &Range<usize>,
    run: &RunOptions<'_>,
    mut each: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    for first in part.clone().step_by(CHUNK_TOKENS) {
        if run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        each(first, CHUNK_TOKENS.min(part.end - first))?;
    }
    Ok(())
}

/// The distributions after each row in all of these models. Vocabularies of different sizes, because one is padded, are
/// compared up to the smallest size.
pub(super) fn compare_logits(
    reference: &ModelLogits<'_>,
    others: &[ModelLogits<'_>],
    run: &RunOptions<'_>,
) -> Result<Vec<TokenPredictions>> {
    let mut vocab_size = reference.vocab_size()?;
    for other in others {
        vocab_size = vocab_size.min(other.vocab_size()?);
    }
    let none = vec![TokenPredictions::new(others.len()); reference.hidden_states.nrows()];
    let add_chunk = |tokens: &mut [TokenPredictions], first, count| {
        let expected = reference.of_tokens(first, count)?;
        let found = others.iter().map(|other| other.of_tokens(first, count)).collect::<Result<Vec<_>>>()?;
        for (row, token) in tokens.iter_mut().enumerate() {
            let found: Vec<_> = found.iter().map(|logits| logits.row(row)).collect();
            token.add(first, expected.row(row), &found);
        }
        Ok(())
    };
    let tokens = over_vocabulary(vocab_size, none, run, add_chunk, TokenPredictions::join)?;
    let models = [reference].into_iter().chain(others);
    for (number, model) in models.enumerate() {
        model.check_finite(tokens.iter().all(|token| token.is_finite(number)))?;
    }
    Ok(tokens)
}

/// A token's successor in several models, as far as the vocabulary was read.
#[derive(Debug, Clone)]
pub(crate) struct TokenPredictions {
    reference: LogSumExp,
    others: Vec<OtherPrediction>,
}

#[derive(Debug, Clone, Default)]
struct OtherPrediction {
    sum: LogSumExp,
    /// Σ e^a·(a − b) over the vocabulary, times e^−(the largest a); a is the reference's logit, b this model's.
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
    /// Makes `max` the largest, if it is. Returns the factor that rescales sums from before.
    fn raise(&mut self, max: f64, argmax: usize) -> f64 {
        if max <= self.max {
            return 1.0;
        }
        let rescale = (self.max - max).exp();
        self.sum *= rescale;
        (self.max, self.argmax) = (max, argmax);
        rescale
    }

    /// Raises the largest to that of the logits of the vocabulary from `first` on.
    fn raise_to(&mut self, first: usize, logits: ArrayView1<'_, f32>) -> f64 {
        let larger = |best: (usize, f32), x: (usize, &f32)| if *x.1 > best.1 { (x.0, *x.1) } else { best };
        let (argmax, max) = (first..).zip(logits).fold((first, f32::NEG_INFINITY), larger);
        self.raise(f64::from(max), argmax)
    }

    /// Adds e^x, and returns it as it was added.
    fn add(&mut self, x: f64) -> f64 {
        let term = (x - self.max).exp();
        self.sum += term;
        term
    }

    /// Adds another part of the vocabulary. Returns the factors that rescale sums of this part and of the other one.
    fn join(&mut self, other: &Self) -> (f64, f64) {
        let rescale = self.raise(other.max, other.argmax);
        let of_other = (other.max - self.max).exp();
        self.sum += other.sum * of_other;
        (rescale, of_other)
    }

    /// ln Σ e^x
    fn log(&self) -> f64 {
        self.max + self.sum.ln()
    }
}

impl TokenPredictions {
    fn new(others: usize) -> Self {
        Self { reference: LogSumExp::default(), others: vec![OtherPrediction::default(); others] }
    }

    /// Adds the logits of the vocabulary from `first` on.
    fn add(&mut self, first: usize, reference: ArrayView1<'_, f32>, others: &[ArrayView1<'_, f32>]) {
        let rescale = self.reference.raise_to(first, reference);
        for (other, logits) in self.others.iter_mut().zip(others) {
            other.difference *= rescale;
            other.sum.raise_to(first, *logits);
        }
        for (n, a) in reference.iter().enumerate() {
            let a = f64::from(*a);
            let term = self.reference.add(a);
            for (other, logits) in self.others.iter_mut().zip(others) {
                let b = f64::from(logits[n]);
                other.sum.add(b);
                other.difference += term * (a - b);
            }
        }
    }

    /// Adds another part of the vocabulary.
    fn join(&mut self, part: &Self) {
        let (rescale, of_part) = self.reference.join(&part.reference);
        for (other, part) in self.others.iter_mut().zip(&part.others) {
            other.difference = other.difference * rescale + part.difference * of_part;
            other.sum.join(&part.sum);
        }
    }

    /// Whether the logits of the reference (0) or of another model (from 1 on) are finite.
    fn is_finite(&self, model: usize) -> bool {
        match model.checked_sub(1) {
            None => self.reference.log().is_finite(),
            Some(other) => self.others[other].sum.log().is_finite(),
        }
    }

    /// Σ p·(ln p − ln q) in nats, with the reference's p and another model's q: at least 0 whatever rounding does.
    pub(crate) fn divergence(&self, other: usize) -> f64 {
        let OtherPrediction { sum, difference } = &self.others[other];
        (difference / self.reference.sum - self.reference.log() + sum.log()).max(0.0)
    }

    /// The most likely token of the reference (0) or of another model (from 1 on).
    pub(crate) fn most_likely(&self, model: usize) -> usize {
        model.checked_sub(1).map_or_else(|| self.expected(), |other| self.found(other))
    }

    /// The reference's most likely token.
    pub(crate) fn expected(&self) -> usize {
        self.reference.argmax
    }

    /// Another model's most likely token.
    pub(crate) fn found(&self, other: usize) -> usize {
        self.others[other].sum.argmax
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    fn predictions(a: &[f32], b: &[f32], chunk: usize) -> TokenPredictions {
        let mut token = TokenPredictions::new(1);
        for (number, (a, b)) in a.chunks(chunk).zip(b.chunks(chunk)).enumerate() {
            let (a, b) = (Array1::from(a.to_vec()), Array1::from(b.to_vec()));
            token.add(chunk * number, a.view(), &[b.view()]);
        }
        token
    }

    #[test]
    fn the_divergence_is_that_of_the_definition_in_chunks_of_any_size() {
        let (a, b) = ([1.0_f32, -2.0, 0.5, 3.0], [0.5_f32, -1.0, 2.5, 2.0]);
        let softmax = |x: &[f32]| {
            let sum: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
            x.iter().map(|x| f64::from(*x).exp() / sum).collect::<Vec<_>>()
        };
        let (p, q) = (softmax(&a), softmax(&b));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        for chunk in 1..=4 {
            let token = predictions(&a, &b, chunk);
            assert!((token.divergence(0) - expected).abs() < 1e-12, "{} {expected}", token.divergence(0));
            assert_eq!((token.expected(), token.found(0)), (3, 2));
        }
        let mut joined = predictions(&a[..1], &b[..1], 1);
        let mut rest = TokenPredictions::new(1);
        rest.add(1, Array1::from(a[1..].to_vec()).view(), &[Array1::from(b[1..].to_vec()).view()]);
        joined.join(&rest);
        assert!((joined.divergence(0) - expected).abs() < 1e-12);
        assert_eq!((joined.expected(), joined.found(0)), (3, 2));
    }

    #[test]
    fn equal_logits_have_no_divergence() {
        let logits = [1.0_f32, 2.0, 30.0];
        assert!(predictions(&logits, &logits, 3).divergence(0) < 1e-12);
    }
}
