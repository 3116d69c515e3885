//! How likely a fine-tuned model ends its turn after its answers: whether it learned to stop.

use serde::Serialize;

use super::PromptSet;
use super::encoding::PromptEncoder;
use crate::error::Result;
use crate::forward::{ForwardModel, greedy_answers, token_probabilities, tokenizer};
use crate::merge::Model;
use crate::progress::RunOptions;

/// The probability of the token that ends a turn, after answers of the fine-tuned model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TurnEndProbability {
    /// The number of answers.
    pub answers: usize,
    /// The mean in the fine-tuned model.
    pub fine_tuned: f64,
    /// The mean in the base, if the model has an adapter.
    pub base: Option<f64>,
}

/// Measures it after the answers of these prompts, and after greedy ones where a prompt has none. `None` without prompts,
/// for a model without turns, and if no answer comes to its end.
///
/// # Errors
/// When the model's logits cannot be computed ([`check_comparable`](crate::check_comparable)), a prompt cannot be rendered
/// or an input cannot be read.
pub fn measure_turn_end(
    model: &Model,
    prompts: &PromptSet,
    run: &RunOptions<'_>,
) -> Result<Option<TurnEndProbability>> {
    let Some(list) = &prompts.prompts else { return Ok(None) };
    let models = match model.adapter() {
        Some(_) => {
            let (base, fine_tuned) = model.with_base_beside();
            vec![ForwardModel::of_model(&fine_tuned)?, ForwardModel::of_model(&base)?]
        }
        None => vec![ForwardModel::of_model(model)?],
    };
    let tokenizer = tokenizer(model)?;
    let encoder = PromptEncoder::new(model, &tokenizer)?;
    let Some(turn_end) = encoder.turn_end().filter(|_| models[0].is_causal()) else { return Ok(None) };
    let (encoded, end) = (encoder.encode(list)?, encoder.answer_end()?);
    let asked: Vec<_> =
        encoded.iter().filter(|prompt| prompt.answer.is_none()).map(|prompt| prompt.prompt.clone()).collect();
    let mut generated = greedy_answers(&[&models[0]], &asked, &end, run)?.into_iter().flatten();
    let texts = encoded.into_iter().filter_map(|prompt| {
        let mut answer = prompt.answer.or_else(|| generated.next())?;
        answer.pop().filter(|last| end.stop_tokens.contains(last))?;
        Some([prompt.prompt, answer].concat())
    });
    let texts: Vec<Vec<usize>> = texts.collect();
    if texts.is_empty() {
        return Ok(None);
    }
    let models: Vec<&ForwardModel> = models.iter().collect();
    let means: Vec<f64> = token_probabilities(&models, &texts, turn_end as usize, run)?
        .iter()
        .map(|of_model| of_model.iter().sum::<f64>() / of_model.len() as f64)
        .collect();
    Ok(Some(TurnEndProbability { answers: texts.len(), fine_tuned: means[0], base: means.get(1).copied() }))
}
