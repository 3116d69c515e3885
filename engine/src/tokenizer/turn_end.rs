//! Where a turn of the model ends: the token that the chat template puts after an answer, and those at which programs stop.

use serde_json::{Map, Value};

use super::chat_renderer::ChatRenderer;
use super::content_form::ContentForm;
use super::render_error::RenderError;
use super::text_encoder::TextEncoder;
use super::{TokenType, Tokenizer};
use crate::checkpoint::ModelFiles;
use crate::error::{Error, Result};
use crate::io::json;

/// Stands for an answer in a rendered conversation.
const ANSWER: &str = "Answer-9f3b";

/// The ids of `eos_token_id` in `generation_config.json`, one or several; `None` without the file.
pub(crate) fn generation_eos(files: &ModelFiles) -> Result<Option<Vec<u32>>> {
    let Some(file) = files.read("generation_config.json")? else { return Ok(None) };
    let config: Map<String, Value> = json::parse(&file.location, &file.bytes)?;
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match config.get("eos_token_id") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(ids)) => ids.iter().map(id).collect(),
        Some(value) => id(value).map(|id| vec![id]),
    };
    let problem = || {
        let value = config.get("eos_token_id").unwrap_or(&Value::Null);
        Error::invalid(
            &file.location,
            format!("has eos_token_id {value}, which is neither an id nor a list of ids"),
        )
    };
    ids.ok_or_else(problem).map(Some)
}

/// The first control token after an answer; `None` if the template puts none there.
///
/// # Errors
/// The template's problem.
pub(crate) fn turn_end(
    tokenizer: &Tokenizer,
    encoder: &TextEncoder<'_>,
    renderer: &ChatRenderer,
) -> Result<Option<u32>, RenderError> {
    let turns = [("user", "Question"), ("assistant", ANSWER)];
    let form = ContentForm::of(renderer, &turns)?;
    let text = renderer.render(&form.conversation(&turns), false)?;
    let after = text.rsplit_once(ANSWER).map_or("", |(_, after)| after);
    let is_control = |id: &u32| tokenizer.vocabulary.types[*id as usize] == TokenType::Control;
    Ok(encoder.encode(after).into_iter().find(is_control))
}
