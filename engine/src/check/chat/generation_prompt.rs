//! The start of the model's turn, beside the turns of a conversation with an answer.

use super::REMEDY;
use super::probe::{ANSWER, Probe, QUESTION};
use crate::check::{Finding, Severity};
use crate::tokenizer::Tokenizer;

pub(super) fn check(probe: &Probe<'_>, tokenizer: &Tokenizer, end: Option<u32>) -> Vec<Finding> {
    let warning = |code, message: String| Finding::new(Severity::Warning, code, message, REMEDY);
    let Ok(question) = probe.render(&[("user", QUESTION)], false) else { return Vec::new() };
    let answered = probe.render(&[("user", QUESTION), ("assistant", ANSWER)], false).unwrap_or_default();
    if question == probe.prompt {
        let is_always = before_answer(&answered).trim_end() == question.trim_end();
        let (code, message) = match is_always {
            true => (
                "generation_prompt_always",
                "the chat template begins the model's turn without add_generation_prompt, too: conversations that it renders for training end with \
                 the start of another answer",
            ),
            false => (
                "no_generation_prompt",
                "the chat template ignores add_generation_prompt: the model's turn does not begin after a question",
            ),
        };
        return vec![warning(code, message.to_owned())];
    }
    let mut findings = Vec::new();
    let start = after_common(&question, &probe.prompt);
    let end = end.and_then(|id| tokenizer.vocabulary.tokens.get(id as usize));
    if let Some(end) = end.filter(|end| start.contains(end.as_str())) {
        let message = format!(
            "the generation prompt has {end}, which ends the model's turn before it begins: {start:?}"
        );
        findings.push(warning("generation_prompt_ends", message));
    }
    if let Some(answered) = differing(probe, &answered) {
        let message = format!(
            "answers in a conversation begin after {:?}, and the answer that programs ask for after {:?}",
            after_question(answered),
            after_question(&probe.prompt)
        );
        findings.push(warning("generation_prompt_differs", message));
    }
    findings
}

/// What precedes the answer of a conversation, if the prompt is not its start, nor goes on from it. A template may render the
/// last answer in another way than earlier ones.
fn differing<'a>(probe: &'a Probe<'_>, answered: &'a str) -> Option<&'a str> {
    let (last, earlier) = (before_answer(answered), before_answer(&probe.several));
    let prompt = probe.prompt.as_str();
    // what goes on from the other may be thinking, and no mere space or line break
    let is_rest = |rest: &str| rest.is_empty() || !rest.trim().is_empty();
    let is_same = |before: &str| {
        let rest = before.strip_prefix(prompt).or_else(|| prompt.strip_prefix(before));
        rest.is_some_and(is_rest)
    };
    (!is_same(last) && !is_same(earlier)).then_some(last)
}

fn before_answer(text: &str) -> &str {
    text.split_once(ANSWER).map_or("", |(before, _)| before)
}

fn after_question(text: &str) -> &str {
    text.rsplit_once(QUESTION).map_or(text, |(_, after)| after)
}

/// The end of `text` from where it differs from `other`.
fn after_common<'a>(other: &str, text: &'a str) -> &'a str {
    let common = text.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    &text[common.map(|(c, _)| c.len_utf8()).sum()..]
}
