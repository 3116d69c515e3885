//! The end of a question.

use super::REMEDY;
use super::probe::{ANSWER, Probe, QUESTION};
use crate::check::{Finding, Severity};
use crate::tokenizer::{TextEncoder, TokenType, Tokenizer};

/// A question after which no `end` comes, though it begins with the same token as answers, which end with it. Questions that begin in another way,
/// as in `[INST] … [/INST]`, end in another way, too.
pub(super) fn check(
    probe: &Probe<'_>,
    tokenizer: &Tokenizer,
    encoder: &TextEncoder<'_>,
    end: Option<u32>,
) -> Option<Finding> {
    let end = end?;
    let is_control = |id: &u32| tokenizer.vocabulary.types[*id as usize] == TokenType::Control;
    let control_tokens =
        |text: &str| -> Vec<u32> { encoder.encode(text).into_iter().filter(is_control).collect() };
    let (before_question, rest) = probe.several.split_once(QUESTION)?;
    let (between, _) = rest.split_once(ANSWER)?;
    let between = control_tokens(between);
    let is_same_start = control_tokens(before_question).last() == Some(between.last()?);
    let end =
        tokenizer.vocabulary.tokens.get(end as usize).filter(|_| is_same_start && !between.contains(&end))?;
    let message = format!(
        "the chat template ends answers with {end}, and questions, which begin in the same way, without it"
    );
    Some(Finding::new(Severity::Warning, "question_without_end", message, REMEDY))
}
