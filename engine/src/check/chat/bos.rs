//! The token that begins a conversation: programs that encode a rendered conversation add none to it.

use super::probe::Probe;
use crate::check::{Finding, Severity};
use crate::tokenizer::Tokenizer;

pub(super) fn check(probe: &Probe<'_>, tokenizer: &Tokenizer) -> Option<Finding> {
    let id = tokenizer.special_id("bos")?;
    let bos = tokenizer.vocabulary.tokens.get(id as usize)?.as_str();
    let warning = |code, message, remedy| Some(Finding::new(Severity::Warning, code, message, remedy));
    let count = probe.several.matches(bos).count();
    if count > 1 {
        let message =
            format!("the chat template renders {bos} {count} times in a conversation of three turns");
        return warning("bos_twice", message, "let the template render {{ bos_token }} once, at its start");
    }
    if !probe.prompt.starts_with(bos) {
        let message = format!(
            "the chat template renders no {bos} at the start of a conversation: transformers and vLLM add none to it, and llama.cpp \
             does, unless add_bos_token is false"
        );
        let remedy =
            "let the template begin with {{ bos_token }}, and name bos_token in tokenizer_config.json";
        return warning("no_bos_in_template", message, remedy);
    }
    None
}
