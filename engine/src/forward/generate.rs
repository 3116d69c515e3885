//! Greedy answers: the most likely token is added until the answer ends.

use ndarray::{Array1, Axis};

use super::divergence::ModelLogits;
use super::hidden_states::hidden_states;
use super::kv_cache::KvCache;
use super::model::ForwardModel;
use super::ops::ForwardPass;
use super::weights::WeightSource;
use crate::error::Result;
use crate::progress::RunOptions;

/// When an answer ends.
#[derive(Debug, Clone)]
pub(crate) struct AnswerEnd {
    /// Tokens after which it ends. They are a part of it.
    pub(crate) stop_tokens: Vec<usize>,
    pub(crate) max_tokens: usize,
}

impl AnswerEnd {
    /// Whether an answer is at its end.
    pub(crate) fn is_reached(&self, answer: &[usize]) -> bool {
        answer.len() >= self.max_tokens || answer.last().is_some_and(|last| self.stop_tokens.contains(last))
    }
}

/// A prompt, and as much of its answer as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BegunAnswer {
    pub(crate) prompt: Vec<usize>,
    pub(crate) answer: Vec<usize>,
}

/// An answer to its end, with what was known of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GreedyAnswer {
    pub(crate) tokens: Vec<usize>,
    /// The hidden states that predict the tokens that were not known.
    pub(crate) states: Vec<Array1<f32>>,
}

impl GreedyAnswer {
    /// What is known.
    pub(super) fn known(begun: &BegunAnswer) -> Self {
        Self { tokens: begun.answer.clone(), states: Vec::new() }
    }
}

/// The rest of these answers, all at once: each pass over the weights adds one token to every answer.
pub(super) fn answers(
    model: &ForwardModel,
    weights: &dyn WeightSource,
    begun: &[BegunAnswer],
    end: &AnswerEnd,
    run: &RunOptions<'_>,
) -> Result<Vec<GreedyAnswer>> {
    let mut cache = KvCache::of_all_passes();
    let mut answers: Vec<GreedyAnswer> = begun.iter().map(GreedyAnswer::known).collect();
    let first_tokens = |BegunAnswer { prompt, answer }: &BegunAnswer| match end.is_reached(answer) {
        true => Vec::new(),
        false => [&prompt[..], answer].concat(),
    };
    let mut tokens: Vec<Vec<usize>> = begun.iter().map(first_tokens).collect();
    let mut past = vec![0; begun.len()];
    while !tokens.iter().all(Vec::is_empty) {
        let hparams = model.hparams();
        let pass = ForwardPass { weights, hparams, tokens: &tokens, past: &past, input_sums: None, run };
        let states = hidden_states(&pass, &mut cache)?.select(Axis(0), &last_rows(&tokens));
        let next = ModelLogits::new(weights, states.clone(), hparams).most_likely(run)?;
        let open = tokens.iter_mut().zip(&mut past).zip(&mut answers).filter(|((new, _), _)| !new.is_empty());
        for (((tokens, past), answer), (token, state)) in open.zip(next.into_iter().zip(states.rows())) {
            *past += tokens.len();
            tokens.clear();
            answer.tokens.push(token);
            answer.states.push(state.to_owned());
            if !end.is_reached(&answer.tokens) {
                tokens.push(token);
            }
        }
    }
    Ok(answers)
}

/// The row of the last token of each sequence that has any.
pub(super) fn last_rows(tokens: &[Vec<usize>]) -> Vec<usize> {
    let ends = tokens.iter().filter(|tokens| !tokens.is_empty()).scan(0, |end, tokens| {
        *end += tokens.len();
        Some(*end - 1)
    });
    ends.collect()
}
