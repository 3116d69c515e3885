//! Several models on the same passages, side by side: each model in a thread of its own, those of one checkpoint in step.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use ndarray::{Array1, Array2, Axis, stack};

use super::divergence::{ModelLogits, TokenPredictions, compare_logits};
use super::generate::{self, AnswerEnd, BegunAnswer, GreedyAnswer};
use super::input_sums::InputSums;
use super::lockstep::{Lockstep, LockstepWeights};
use super::model::ForwardModel;
use super::parallel::in_parallel;
use super::weights::WeightSource;
use crate::error::Result;
use crate::progress::RunOptions;

/// A text whose tokens are predicted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Passage {
    pub(crate) tokens: Vec<usize>,
    /// The positions of the tokens whose successors are compared.
    pub(crate) compared: Range<usize>,
    /// The hidden states of the reference at these positions, if it has read the text before.
    pub(crate) reference_states: Option<Vec<Array1<f32>>>,
}

/// A token whose probability is asked for at the last compared position of some passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NextToken {
    pub(crate) token: usize,
    /// The numbers of the passages.
    pub(crate) after_passages: Vec<usize>,
}

/// The predictions of all models for each compared token, passage after passage, and the probabilities of `asked` in each model.
/// The first model is the reference.
pub(crate) fn predictions(
    models: &[&ForwardModel],
    passages: &[Passage],
    asked: Option<&NextToken>,
    run: &RunOptions<'_>,
) -> Result<(Vec<TokenPredictions>, Vec<Vec<f64>>)> {
    let states = compared_states(models, passages, run)?;
    let mut logits: Vec<ModelLogits<'_>> = models
        .iter()
        .zip(states)
        .map(|(model, states)| ModelLogits::new(model.weights(), states, model.hparams()))
        .collect();
    let probabilities = match asked.filter(|asked| !asked.after_passages.is_empty()) {
        Some(asked) => {
            let rows = last_compared_rows(passages, &asked.after_passages);
            let of_model = |logits: &ModelLogits<'_>| logits.of_rows(&rows).probabilities(asked.token, run);
            logits.iter().map(of_model).collect::<Result<_>>()?
        }
        None => Vec::new(),
    };
    let reference = logits.remove(0);
    Ok((compare_logits(&reference, &logits, run)?, probabilities))
}

/// The hidden states of each model at the compared positions.
fn compared_states(
    models: &[&ForwardModel],
    passages: &[Passage],
    run: &RunOptions<'_>,
) -> Result<Vec<Array2<f32>>> {
    let unread: Vec<&Passage> =
        passages.iter().filter(|passage| passage.reference_states.is_none()).collect();
    let all: Vec<&Passage> = passages.iter().collect();
    let of_model = |(number, model)| (model, if number == 0 { &unread } else { &all });
    let reads: Vec<_> =
        models.iter().copied().enumerate().map(of_model).filter(|(_, texts)| !texts.is_empty()).collect();
    let reading: Vec<&ForwardModel> = reads.iter().map(|(model, _)| *model).collect();
    let mut states = side_by_side(&reading, run, |number, model, weights, run| {
        let passages = reads[number].1;
        let tokens: Vec<Vec<usize>> = passages.iter().map(|passage| passage.tokens.clone()).collect();
        Ok(model.hidden_states(weights, &tokens, run)?.select(Axis(0), &compared_rows(passages)))
    })?
    .into_iter();
    let read = if unread.is_empty() { None } else { states.next() };
    Ok([reference_states(passages, read)].into_iter().chain(states).collect())
}

/// The hidden states of the reference at the compared positions: those that are known, and those that were `read`, which belong to the
/// other passages.
fn reference_states(passages: &[Passage], read: Option<Array2<f32>>) -> Array2<f32> {
    let mut read = read.iter().flat_map(|states| states.rows());
    let mut rows = Vec::new();
    for passage in passages {
        match &passage.reference_states {
            Some(known) => rows.extend(known.iter().map(|state| state.view())),
            None => rows.extend(read.by_ref().take(passage.compared.len())),
        }
    }
    // they have equally many columns
    stack(Axis(0), &rows).unwrap_or_default()
}

/// The rows of the last compared positions of some passages, among those of all compared positions.
fn last_compared_rows(passages: &[Passage], numbers: &[usize]) -> Vec<usize> {
    let mut end = 0;
    let ends = passages.iter().map(|passage| {
        end += passage.compared.len();
        end
    });
    let ends: Vec<usize> = ends.collect();
    numbers.iter().map(|number| ends[*number] - 1).collect()
}

/// The greedy answers of each model, from what is known of them on.
pub(crate) fn greedy_answers(
    models: &[(&ForwardModel, Vec<BegunAnswer>)],
    end: &AnswerEnd,
    run: &RunOptions<'_>,
) -> Result<Vec<Vec<GreedyAnswer>>> {
    let is_open = |begun: &[BegunAnswer]| begun.iter().any(|begun| !end.is_reached(&begun.answer));
    let open: Vec<_> = models.iter().filter(|(_, begun)| is_open(begun)).collect();
    let reading: Vec<&ForwardModel> = open.iter().map(|(model, _)| *model).collect();
    let mut answered = side_by_side(&reading, run, |number, model, weights, run| {
        generate::answers(model, weights, &open[number].1, end, run)
    })?
    .into_iter();
    let of_model = |(_, begun): &(_, Vec<BegunAnswer>)| match is_open(begun) {
        true => answered.next().unwrap_or_default(),
        false => begun.iter().map(GreedyAnswer::known).collect(),
    };
    Ok(models.iter().map(of_model).collect())
}

/// The probability of `token` after each of these texts, in each model.
pub(crate) fn token_probabilities(
    models: &[&ForwardModel],
    texts: &[Vec<usize>],
    token: usize,
    run: &RunOptions<'_>,
) -> Result<Vec<Vec<f64>>> {
    side_by_side(models, run, |_, model, weights, run| {
        let states = model.hidden_states(weights, texts, run)?.select(Axis(0), &generate::last_rows(texts));
        ModelLogits::new(weights, states, model.hparams()).probabilities(token, run)
    })
}

/// The inputs of the layers' matrices for each of these sequences. They are computed at the same time, and read the same weights at about
/// the same time, unless each needs other experts.
pub(crate) fn input_sums(
    model: &ForwardModel,
    sequences: &[Vec<usize>],
    run: &RunOptions<'_>,
) -> Result<Vec<InputSums>> {
    if model.has_experts() {
        return in_parallel(sequences.iter(), run, |tokens| model.input_sums(model.weights(), tokens, run));
    }
    side_by_side(&vec![model; sequences.len()], run, |number, model, weights, run| {
        model.input_sums(weights, &sequences[number], run)
    })
}

/// The rows of all compared tokens among the rows of all tokens.
fn compared_rows(passages: &[&Passage]) -> Vec<usize> {
    let mut first = 0;
    let mut rows = Vec::new();
    for Passage { tokens, compared, .. } in passages {
        rows.extend(first + compared.start..first + compared.end);
        first += tokens.len();
    }
    rows
}

/// Calls `work` for each model with its number and weights, all at once, and with its share of the threads.
fn side_by_side<T: Send>(
    models: &[&ForwardModel],
    run: &RunOptions<'_>,
    work: impl Fn(usize, &ForwardModel, &dyn WeightSource, &RunOptions<'_>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let lockstep = Lockstep::new(models.len());
    let share = NonZeroUsize::new(run.threads() / models.len().max(1)).unwrap_or(NonZeroUsize::MIN);
    let run = RunOptions { threads: Some(share), ..*run };
    let (lockstep, work, run) = (&lockstep, &work, &run);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(models)
            .map(|(number, model)| {
                let weights = LockstepWeights::new(model.weights(), lockstep, number);
                scope.spawn(move || work(number, model, &weights, run))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}
