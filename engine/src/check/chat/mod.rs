//! The chat template, rendered with the conversations that programs have.

mod bos;
mod content_parts;
mod control_tokens;
mod generation_prompt;
mod probe;
mod system_message;
mod tool_calls;
mod user_turn;

use probe::Probe;

use super::{Finding, Severity};
use crate::tokenizer::{ChatRenderer, TextEncoder, Tokenizer, turn_end};

const REMEDY: &str = "take chat_template.jinja, or chat_template of tokenizer_config.json, of the base model";

/// The token that ends the model's turn, and what is wrong with the template.
pub(super) fn check(tokenizer: &Tokenizer, has_encoders: bool) -> (Option<u32>, Vec<Finding>) {
    let renderer = match ChatRenderer::new(tokenizer) {
        Ok(Some(renderer)) => renderer,
        Ok(None) => return (None, vec![no_template(tokenizer)]),
        Err(problem) => {
            let message = format!("the chat template cannot be parsed: {problem}");
            return (None, vec![Finding::new(Severity::Error, "template_invalid", message, REMEDY)]);
        }
    };
    let encoder = TextEncoder::new(tokenizer);
    let end = turn_end(tokenizer, &encoder, &renderer);
    let probe = match Probe::new(&renderer) {
        Ok(probe) => probe,
        Err(finding) => return (end.ok().flatten(), vec![finding]),
    };
    let mut findings = probe.findings(tokenizer, &encoder, end.clone().ok().flatten());
    findings.extend(has_encoders.then(|| content_parts::check(&probe)).flatten());
    if findings.iter().all(|finding| finding.severity != Severity::Error) && end == Ok(None) {
        let message =
            "the chat template writes no control token after an answer: programs cannot tell where it ends";
        findings.push(Finding::new(Severity::Error, "no_turn_end", message, REMEDY));
    }
    (end.ok().flatten(), findings)
}

/// No template that programs use by themselves.
fn no_template(tokenizer: &Tokenizer) -> Finding {
    let names = tokenizer.template_names();
    let (severity, code, message) = match names.as_deref() {
        None => {
            let message =
                "the model has no chat template: programs cannot render conversations for it".to_owned();
            (Severity::Note, "no_chat_template", message)
        }
        Some([]) => {
            let message = "chat_template is neither a text nor a list of templates with names: programs cannot render conversations";
            (Severity::Error, "template_invalid", message.to_owned())
        }
        Some(names) => {
            let message = format!(
                "the model has chat templates by name ({}), and none named default: programs use none of them by themselves",
                names.join(", ")
            );
            (Severity::Warning, "no_default_template", message)
        }
    };
    let remedy = "if it was trained on conversations, add the template of the training to the adapter's folder, as chat_template.jinja";
    Finding::new(severity, code, message, remedy)
}
