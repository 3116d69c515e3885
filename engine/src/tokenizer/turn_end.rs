//! Where a turn of the model ends: the token that the chat template puts after an answer, and those at which programs stop.

use minijinja::value::Value;
use serde::Deserialize;

use super::chat_renderer::{ChatRenderer, Conversation};
use super::text_encoder::TextEncoder;
use super::{TokenType, Tokenizer};
use crate::checkpoint::ModelFiles;
use crate::error::Result;
use crate::io::json;

/// Stands for an answer in a rendered conversation.
const ANSWER: &str = "Answer-9f3b";

/// `eos_token_id` of `generation_config.json`: one id or several.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum EosTokenIds {
    One(u32),
    Several(Vec<u32>),
    #[default]
    None,
}

#[derive(Debug, Default, Deserialize)]
struct GenerationConfig {
    #[serde(default)]
    eos_token_id: EosTokenIds,
}

/// The ids of `eos_token_id` in `generation_config.json`; `None` without the file.
pub(crate) fn generation_eos(files: &ModelFiles) -> Result<Option<Vec<u32>>> {
    let Some(file) = files.read("generation_config.json")? else { return Ok(None) };
    let config: GenerationConfig = json::parse(&file.location, &file.bytes)?;
    Ok(Some(match config.eos_token_id {
        EosTokenIds::One(id) => vec![id],
        EosTokenIds::Several(ids) => ids,
        EosTokenIds::None => Vec::new(),
    }))
}

/// A message of a conversation.
pub(crate) fn message(role: &str, content: &str) -> Value {
    [("role", Value::from(role)), ("content", Value::from(content))].into_iter().collect()
}

/// The first control token after an answer; `None` if the template puts none there.
///
/// # Errors
/// The template's problem.
pub(crate) fn turn_end(
    tokenizer: &Tokenizer,
    encoder: &TextEncoder<'_>,
    renderer: &ChatRenderer,
) -> Result<Option<u32>, String> {
    let messages = vec![message("user", "Question"), message("assistant", ANSWER)];
    let text = renderer.render(&Conversation { messages, tools: None }, false)?;
    let after = text.rsplit_once(ANSWER).map_or("", |(_, after)| after);
    let is_control = |id: &u32| tokenizer.vocabulary.types[*id as usize] == TokenType::Control;
    Ok(encoder.encode(after).into_iter().find(is_control))
}
