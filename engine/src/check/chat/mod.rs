//! The chat template, rendered with the conversations that programs have.

use minijinja::Value;
use regex::Regex;
use serde_json::json;

use super::{Finding, Severity};
use crate::tokenizer::{ChatRenderer, Conversation, TextEncoder, Tokenizer, message, turn_end};

const QUESTION: &str = "Question-1c7e";
const ANSWER: &str = "Answer-9f3b";
const SYSTEM: &str = "System-5d02";
const FUNCTION: &str = "function_4a8c";

const REMEDY: &str = "take chat_template.jinja, or chat_template of tokenizer_config.json, of the base model";

/// The token that ends the model's turn, and what is wrong with the template.
pub(super) fn check(tokenizer: &Tokenizer) -> (Option<u32>, Vec<Finding>) {
    let renderer = match ChatRenderer::new(tokenizer) {
        Ok(Some(renderer)) => renderer,
        Ok(None) => {
            let message = "the model has no chat template: programs cannot render conversations for it";
            let remedy = "if it was trained on conversations, add the template of the training to the adapter's folder";
            return (None, vec![Finding::new(Severity::Note, "no_chat_template", message, remedy)]);
        }
        Err(problem) => {
            let message = format!("the chat template cannot be parsed: {problem}");
            return (None, vec![Finding::new(Severity::Error, "template_invalid", message, REMEDY)]);
        }
    };
    let encoder = TextEncoder::new(tokenizer);
    let mut findings = Vec::new();
    findings.extend(turns(&renderer, &encoder, tokenizer));
    findings.extend(system(&renderer));
    findings.extend(tool_call(&renderer));
    let end = turn_end(tokenizer, &encoder, &renderer);
    if findings.iter().all(|finding| finding.severity != Severity::Error) && end == Ok(None) {
        let message =
            "the chat template writes no control token after an answer: programs cannot tell where it ends";
        findings.push(Finding::new(Severity::Error, "no_turn_end", message, REMEDY));
    }
    (end.ok().flatten(), findings)
}

fn conversation(messages: &[(&str, &str)]) -> Conversation {
    Conversation { messages: messages.iter().map(|(role, text)| message(role, text)).collect(), tools: None }
}

/// A question, and a question after an answer, with and without the start of the next answer.
fn turns(renderer: &ChatRenderer, encoder: &TextEncoder<'_>, tokenizer: &Tokenizer) -> Vec<Finding> {
    let error = |code, message: String| Finding::new(Severity::Error, code, message, REMEDY);
    let one = conversation(&[("user", QUESTION)]);
    let several = conversation(&[("user", QUESTION), ("assistant", ANSWER), ("user", QUESTION)]);
    let rendered = [renderer.render(&one, true), renderer.render(&several, true)];
    for (what, text) in ["a question", "several turns"].iter().zip(&rendered) {
        match text {
            Err(problem) => {
                return vec![error(
                    "template_fails",
                    format!("the chat template fails for {what}: {problem}"),
                )];
            }
            Ok(text) if !text.contains(QUESTION) || text.contains(ANSWER) != (*what == "several turns") => {
                let message = format!("the chat template leaves out a message of {what}");
                return vec![error("template_drops_messages", message)];
            }
            Ok(_) => {}
        }
    }
    let [Ok(prompt), Ok(several)] = &rendered else { return Vec::new() };
    let mut findings = Vec::new();
    if renderer.render(&one, false).as_ref() == Ok(prompt) {
        let message = "the chat template ignores add_generation_prompt: the model's turn does not begin after a question";
        findings.push(Finding::new(Severity::Warning, "no_generation_prompt", message, REMEDY));
    }
    let mut unknown = unknown_markers(several, encoder);
    // these are a finding of their own
    unknown.retain(|marker| !tokenizer.rowless.iter().any(|token| token.is(marker)));
    if !unknown.is_empty() {
        let message = format!(
            "the chat template writes {}, which the tokenizer splits into pieces",
            unknown.join(", ")
        );
        findings.push(error("template_token_unknown", message));
    }
    findings
}

/// The texts in angle brackets that are not one token.
fn unknown_markers(text: &str, encoder: &TextEncoder<'_>) -> Vec<String> {
    let Ok(marker) = Regex::new(r"<[^<>\s]+>") else { return Vec::new() };
    let mut unknown: Vec<String> = marker.find_iter(text).map(|found| found.as_str().to_owned()).collect();
    unknown.retain(|marker| encoder.encode(marker).len() != 1);
    unknown.sort();
    unknown.dedup();
    unknown
}

fn system(renderer: &ChatRenderer) -> Option<Finding> {
    let text = renderer.render(&conversation(&[("system", SYSTEM), ("user", QUESTION)]), true);
    match text {
        Ok(text) if text.contains(SYSTEM) => None,
        Ok(_) => {
            let message = "the chat template leaves out what a system message says";
            Some(Finding::new(Severity::Warning, "system_message_dropped", message, REMEDY))
        }
        Err(problem) => {
            let message = format!("the chat template takes no system message: {problem}");
            let remedy = "put the instructions into the first question";
            Some(Finding::new(Severity::Note, "no_system_role", message, remedy))
        }
    }
}

/// A tool, its call and its result.
fn tool_call(renderer: &ChatRenderer) -> Option<Finding> {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string", "description": "A city"}}});
    let function = json!({"name": FUNCTION, "description": "Weather", "parameters": parameters});
    let call = json!({"type": "function", "function": {"name": FUNCTION, "arguments": {"city": "Paris"}}});
    let messages = json!([
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": FUNCTION, "content": "Sunny"},
    ]);
    let messages = messages.as_array().into_iter().flatten().map(Value::from_serialize).collect();
    let tools = Value::from_serialize(json!([{"type": "function", "function": function}]));
    let text = renderer.render(&Conversation { messages, tools: Some(tools) }, true);
    if text.is_ok_and(|text| text.contains(FUNCTION)) {
        return None;
    }
    let message = "the chat template renders no tool calls: programs cannot offer tools to the model";
    let remedy = "if it was trained on tool calls, add the template of the training to the adapter's folder";
    Some(Finding::new(Severity::Note, "no_tool_calls", message, remedy))
}
