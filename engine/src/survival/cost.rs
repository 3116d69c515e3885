//! What measuring survival takes, before it is measured.

use super::PromptSet;
use super::encoding::{MAX_NEW_TOKENS, PromptEncoder};
use super::{require_adapter, require_causal};
use crate::error::Result;
use crate::forward::{ForwardModel, fixed_prompts, tokenizer};
use crate::merge::Model;

/// What a measurement of survival computes at the most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SurvivalCost {
    /// The tokens that go through each model, those of generated answers among them.
    pub tokens: u64,
    /// The passes of the fine-tuned model for answers, each over all weights of base and adapter.
    pub answer_passes: u64,
    /// The passes of the base and of each export for the answers that are shown.
    pub sample_passes: u64,
}

/// What measuring the survival of this model with these prompts takes. Reads the tokenizer and no weights.
///
/// # Errors
/// As [`measure_survival`](crate::measure_survival): when the model has no adapter, its logits cannot be computed, or no prompt
/// can be rendered.
pub fn survival_cost(model: &Model, prompts: &PromptSet) -> Result<SurvivalCost> {
    require_adapter(model)?;
    let forward = ForwardModel::of_model(model)?;
    let tokenizer = tokenizer(model)?;
    let Some(file) = &prompts.file else {
        let tokens = fixed_prompts(&tokenizer).iter().map(|passage| passage.tokens.len() as u64).sum();
        return Ok(SurvivalCost { tokens, ..SurvivalCost::default() });
    };
    require_causal(model, &forward)?;
    let encoded = PromptEncoder::new(model, &tokenizer)?.encode(file)?.prompts;
    let answer = |given: &Option<Vec<usize>>| given.as_ref().map_or(MAX_NEW_TOKENS, Vec::len);
    let tokens = encoded.iter().map(|prompt| (prompt.prompt.len() + answer(&prompt.answer)) as u64).sum();
    let passes = |are_needed: bool| if are_needed { MAX_NEW_TOKENS as u64 } else { 0 };
    Ok(SurvivalCost {
        tokens,
        answer_passes: passes(encoded.iter().any(|prompt| prompt.answer.is_none())),
        sample_passes: passes(prompts.samples > 0),
    })
}
