//! The content of messages as templates take it: a text, or a list of parts.

use minijinja::Value;

use super::chat_renderer::{ChatRenderer, Conversation};
use super::render_error::RenderError;

/// How messages have their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentForm {
    /// Texts.
    Text,
    /// Questions are lists of parts, answers are texts.
    UserParts,
    /// Lists of parts.
    Parts,
}

impl ContentForm {
    /// The first form in which a template renders the questions of a conversation of roles and texts: of a text, a template that
    /// takes lists renders nothing, because its characters have no `text`. llama.cpp finds the form in this way, too.
    ///
    /// # Errors
    /// The template's problem with texts.
    pub(crate) fn of(renderer: &ChatRenderer, turns: &[(&str, &str)]) -> Result<Self, RenderError> {
        let render = |form: Self| renderer.render(&form.conversation(turns), false);
        let has_questions = |rendered: &str| {
            let mut questions = turns.iter().filter(|(role, _)| *role == "user");
            questions.all(|(_, text)| rendered.contains(text.trim()))
        };
        let as_text = render(Self::Text);
        if as_text.as_deref().is_ok_and(has_questions) {
            return Ok(Self::Text);
        }
        let with_parts = [Self::UserParts, Self::Parts]
            .into_iter()
            .find(|form| render(*form).as_deref().is_ok_and(has_questions));
        with_parts.map_or_else(|| as_text.map(|_| Self::Text), Ok)
    }

    /// A conversation of roles and texts in this form.
    pub(crate) fn conversation(self, turns: &[(&str, &str)]) -> Conversation {
        let message = |(role, text): &(&str, &str)| {
            let has_parts = self == Self::Parts || self == Self::UserParts && *role == "user";
            message(role, if has_parts { parts(text) } else { Value::from(*text) })
        };
        Conversation { messages: turns.iter().map(message).collect(), tools: None }
    }
}

/// A message of a conversation.
pub(crate) fn message(role: &str, content: impl Into<Value>) -> Value {
    [("role", Value::from(role)), ("content", content.into())].into_iter().collect()
}

/// A list of one part.
fn parts(text: &str) -> Value {
    let part: Value = [("type", "text"), ("text", text)].into_iter().collect();
    Value::from(vec![part])
}
