//! Greedy answers: the most likely token is added until the answer ends.

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

/// The answers to prompts, all at once: each pass over the weights adds one token to every answer.
pub(super) fn answers(
    model: &ForwardModel,
    weights: &dyn WeightSource,
    prompts: &[Vec<usize>],
    end: &AnswerEnd,
    run: &RunOptions<'_>,
) -> Result<Vec<Vec<usize>>> {
    let mut cache = KvCache::of_all_passes();
    let mut answers = vec![Vec::new(); prompts.len()];
    let mut tokens = prompts.to_vec();
    let mut past = vec![0; prompts.len()];
    for _ in 0..end.max_tokens {
        if tokens.iter().all(Vec::is_empty) {
            break;
        }
        let hparams = model.hparams();
        let pass = ForwardPass { weights, hparams, tokens: &tokens, past: &past, input_sums: None, run };
        let states = hidden_states(&pass, &mut cache)?;
        let last = last_rows(&tokens);
        let logits = ModelLogits::new(weights, states.select(ndarray::Axis(0), &last), model.hparams());
        let mut next = logits.most_likely(run)?.into_iter();
        for (sequence, tokens) in tokens.iter_mut().enumerate().filter(|(_, tokens)| !tokens.is_empty()) {
            past[sequence] += tokens.len();
            tokens.clear();
            if let Some(token) = next.next() {
                answers[sequence].push(token);
                if !end.stop_tokens.contains(&token) {
                    tokens.push(token);
                }
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
