//! How much of a fine-tune is left in an export: the predictions of base, fine-tuned model (base and adapter, not rounded)
//! and export for the same texts.
//!
//! Survival is 1 − KL(fine-tuned ‖ export) / KL(fine-tuned ‖ base): 1 if the export predicts what the fine-tuned model
//! predicts, 0 if it is as far from it as the base is, and less than 0 if it is further away.

mod compared_models;
mod cost;
mod encoding;
mod prompt_file;
mod prompt_set;
mod training_row;
mod turn_end;

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::convert::GgufPlan;
use crate::error::{Error, Result};
use crate::forward::ForwardModel;
use crate::io::Source;
use crate::left_out::LeftOut;
use crate::merge::Model;
use crate::progress::RunOptions;
use crate::report::{AdapterBeside, Survival};
use crate::tokenizer::Tokenizer;
use compared_models::ComparedModels;
pub use cost::{SurvivalCost, survival_cost};
use encoding::PromptEncoder;
pub(crate) use prompt_file::is_training_set;
pub use prompt_set::PromptSet;
pub use turn_end::{TurnEnd, check_turn_end, measure_turn_end};

/// An export that was written.
#[derive(Clone)]
pub enum ExportedModel {
    /// A merged checkpoint.
    Merged(Checkpoint),
    /// A GGUF file in all its parts.
    Gguf(Vec<Arc<dyn Source>>),
}

impl ExportedModel {
    fn open(&self) -> Result<ForwardModel> {
        match self {
            Self::Merged(merged) => ForwardModel::of_model(&Model::new(merged)),
            Self::Gguf(files) => ForwardModel::of_gguf(files),
        }
    }
}

/// Measures how much of the adapter's fine-tune each of these exports of the model keeps. All models run side by side, and
/// the weights of the base are read once for all of them, prompts included; greedy answers take one more pass for each
/// token.
///
/// # Errors
/// When the model has no adapter or its logits cannot be computed ([`check_comparable`](crate::check_comparable)), when a
/// prompt cannot be rendered, and when an input cannot be read.
pub fn measure_survival(
    model: &Model,
    exports: &[ExportedModel],
    prompts: &PromptSet,
    run: &RunOptions<'_>,
) -> Result<Vec<Survival>> {
    let (base, fine_tuned) = model.with_base_beside(2);
    let models = ComparedModels::new(&base, &fine_tuned, exports)?;
    Ok(models.measure(model, prompts, run)?.0)
}

/// Measures as [`measure_survival`], and in the same pass how much of the fine-tune the base keeps in the file of this plan
/// ([`GgufPlan::base_on_grid`]) with the adapter, not rounded, beside it.
///
/// # Errors
/// As [`measure_survival`].
pub fn measure_survival_beside(
    model: &Model,
    exports: &[ExportedModel],
    in_file: GgufPlan,
    prompts: &PromptSet,
    run: &RunOptions<'_>,
) -> Result<(Vec<Survival>, Option<AdapterBeside>)> {
    // base and fine-tuned model, and both again for the change that is added to the file
    let (base, fine_tuned) = model.with_base_beside(4);
    let beside = ForwardModel::of_adapter_beside(&base, &fine_tuned, in_file)?;
    let models = ComparedModels::new(&base, &fine_tuned, exports)?.with_adapter_beside(beside);
    models.measure(model, prompts, run)
}

fn require_adapter(model: &Model) -> Result<()> {
    match model.adapter() {
        Some(_) => Ok(()),
        None => {
            let problem =
                "is exported without an adapter: survival compares base and fine-tune, so name both";
            Err(Error::invalid(model.base().location(), problem))
        }
    }
}

/// Answers are compared by the tokens that follow a prompt.
fn require_causal(model: &Model, forward: &ForwardModel) -> Result<()> {
    if forward.is_causal() {
        return Ok(());
    }
    let problem = "is of a model that predicts no next token, so prompts have no answers: measure survival without prompts";
    Err(Error::invalid(model.base().config().file(), problem))
}

/// The tokens of a training set in chat form: conversations, rendered through the model's chat template, up to the one that makes it
/// at least `most` tokens; and those that the template does not render.
pub(crate) fn training_set_tokens(
    model: &Model,
    tokenizer: &Tokenizer,
    (file, bytes): (&str, &[u8]),
    most: usize,
) -> Result<(Vec<usize>, Option<LeftOut>)> {
    let encoder = PromptEncoder::new(model, tokenizer)?;
    let (mut tokens, mut left_out, mut refused) = (Vec::new(), None, None);
    for conversation in &prompt_file::parse(file, bytes)? {
        if tokens.len() >= most {
            break;
        }
        match encoder.encode_whole(conversation) {
            Ok(rendered) => tokens.extend(rendered),
            Err(problem) => {
                LeftOut::add(&mut left_out, || problem.reason(conversation));
                refused = refused.or_else(|| Some(problem.error(file, conversation)));
            }
        }
    }
    match refused.filter(|_| tokens.is_empty()) {
        Some(error) => Err(error),
        None => Ok((tokens, left_out)),
    }
}

#[cfg(test)]
mod tests;
