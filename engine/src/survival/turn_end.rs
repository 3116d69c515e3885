//! How likely a fine-tuned model ends its turn after its answers: whether it learned to stop.

use super::PromptSet;
use super::encoding::{EncodedPrompt, EncodedPrompts, PromptEncoder};
use crate::check::{Finding, Severity, TURN_END_NOT_LEARNED};
use crate::error::Result;
use crate::forward::{ForwardModel, greedy_answers, token_probabilities, tokenizer};
use crate::left_out::LeftOut;
use crate::merge::Model;
use crate::progress::RunOptions;
use crate::report::TurnEndProbability;

/// What was measured of the end of answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TurnEnd {
    /// There are no prompts, or the model has no turns.
    None,
    /// None of so many answers comes to its end.
    NoAnswerEnds(usize),
    /// After the answers that do.
    Measured(TurnEndProbability),
}

impl TurnEnd {
    /// The probability, if it was measured.
    pub fn probability(self) -> Option<TurnEndProbability> {
        match self {
            Self::Measured(probability) => Some(probability),
            Self::None | Self::NoAnswerEnds(_) => None,
        }
    }

    /// What it says of the model.
    pub fn finding(self) -> Option<Finding> {
        match self {
            Self::None => None,
            Self::NoAnswerEnds(answers) => {
                let answers = match answers {
                    1 => "the only answer does not come".to_owned(),
                    answers => format!("none of {answers} answers comes"),
                };
                let message = format!(
                    "{answers} to its end within the tokens that are looked at: whether the model learned to end its turn is not measured"
                );
                let remedy = "give prompts with answers, or with questions that have short ones";
                Some(Finding::new(Severity::Note, "turn_end_not_measured", message, remedy))
            }
            Self::Measured(probability) => check_turn_end(&probability),
        }
    }
}

/// Measures it after the answers of these prompts, and after greedy ones where a prompt has none. The prompts that were left out are
/// the second value.
///
/// # Errors
/// When the model's logits cannot be computed ([`check_comparable`](crate::check_comparable)), a prompt cannot be rendered
/// or an input cannot be read.
pub fn measure_turn_end(
    model: &Model,
    prompts: &PromptSet,
    run: &RunOptions<'_>,
) -> Result<(TurnEnd, Option<LeftOut>)> {
    let Some(file) = &prompts.file else { return Ok((TurnEnd::None, None)) };
    let models = match model.adapter() {
        Some(_) => {
            let (base, fine_tuned) = model.with_base_beside(2);
            let fine_tuned = ForwardModel::of_model(&fine_tuned)?;
            let base = ForwardModel::of_base(&base, &fine_tuned)?;
            vec![fine_tuned, base]
        }
        None => vec![ForwardModel::of_model(model)?],
    };
    let tokenizer = tokenizer(model)?;
    let encoder = PromptEncoder::new(model, &tokenizer)?;
    let Some(turn_end) = encoder.turn_end().filter(|_| models[0].is_causal()) else {
        return Ok((TurnEnd::None, None));
    };
    let (EncodedPrompts { prompts: encoded, left_out }, end) = (encoder.encode(file)?, encoder.answer_end()?);
    let asked = encoded.iter().filter(|prompt| prompt.answer.is_none()).map(EncodedPrompt::unanswered);
    let mut generated = greedy_answers(&[(&models[0], asked.collect())], &end, run)?.into_iter().flatten();
    let answers = encoded.len();
    let texts = encoded.into_iter().filter_map(|prompt| {
        let mut answer = prompt.answer.or_else(|| generated.next().map(|answer| answer.tokens))?;
        answer.pop().filter(|last| end.stop_tokens.contains(last))?;
        Some([prompt.prompt, answer].concat())
    });
    let texts: Vec<Vec<usize>> = texts.collect();
    let models: Vec<&ForwardModel> = models.iter().collect();
    if texts.is_empty() {
        return Ok((TurnEnd::NoAnswerEnds(answers), left_out));
    }
    let measured = mean_probability(&token_probabilities(&models, &texts, turn_end as usize, run)?);
    Ok((measured.map_or(TurnEnd::None, TurnEnd::Measured), left_out))
}

/// The means over the answers, of the fine-tuned model and the base; `None` without answers.
pub(super) fn mean_probability(of_models: &[Vec<f64>]) -> Option<TurnEndProbability> {
    let answers = of_models.first().map(Vec::len).filter(|answers| *answers > 0)?;
    let mean =
        |model: usize| of_models.get(model).map(|of_model| of_model.iter().sum::<f64>() / answers as f64);
    Some(TurnEndProbability { answers, fine_tuned: mean(0)?, base: mean(1) })
}

/// What the probability of the turn's end says: the model was not trained to end its answers.
pub fn check_turn_end(measured: &TurnEndProbability) -> Option<Finding> {
    const LIKELY: f64 = 0.5;
    let base = measured.base.map(|base| format!(", {base:.3} in the base")).unwrap_or_default();
    let answers = match measured.answers {
        1 => "one answer".to_owned(),
        answers => format!("{answers} answers"),
    };
    let message = format!(
        "after {answers} the model ends its turn with a probability of {:.3} only{base}: it goes on writing",
        measured.fine_tuned
    );
    let remedy =
        "train on the end of the turn too: the text of each example ends with it, and the loss includes it";
    (measured.fine_tuned < LIKELY)
        .then(|| Finding::new(Severity::Warning, TURN_END_NOT_LEARNED, message, remedy))
}
