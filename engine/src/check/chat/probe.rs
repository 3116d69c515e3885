//! A question, and a question after an answer, as the template renders them.

use super::{REMEDY, bos, control_tokens, generation_prompt, system_message, tool_calls, user_turn};
use crate::check::{Finding, Severity};
use crate::tokenizer::{ChatRenderer, ContentForm, RenderError, TextEncoder, Tokenizer};

pub(super) const QUESTION: &str = "Question-1c7e";
pub(super) const ANSWER: &str = "Answer-9f3b";
const SECOND_QUESTION: &str = "Question-6d29";

const ONE: [(&str, &str); 1] = [("user", QUESTION)];
const SEVERAL: [(&str, &str); 3] = [("user", QUESTION), ("assistant", ANSWER), ("user", SECOND_QUESTION)];

/// A template that renders conversations.
pub(super) struct Probe<'a> {
    pub(super) renderer: &'a ChatRenderer,
    form: ContentForm,
    /// A question, and the start of the answer.
    pub(super) prompt: String,
    /// A question, an answer, a question, and the start of the next answer.
    pub(super) several: String,
}

impl<'a> Probe<'a> {
    /// The finding, if the template fails or leaves out a message.
    pub(super) fn new(renderer: &'a ChatRenderer) -> Result<Self, Finding> {
        let render = |what: &str, turns: &[(&str, &str)]| {
            let form = ContentForm::of(renderer, turns).map_err(|problem| failure(what, &problem))?;
            let text = renderer.render(&form.conversation(turns), true);
            let text = text.map_err(|problem| failure(what, &problem))?;
            let places: Option<Vec<usize>> = turns.iter().map(|(_, content)| text.find(content)).collect();
            let error = |code, message| Err(Finding::new(Severity::Error, code, message, REMEDY));
            match places {
                Some(places) if places.is_sorted() => Ok((form, text)),
                Some(_) => {
                    let message =
                        format!("the chat template renders the messages of {what} in another order");
                    error("template_reorders_messages", message)
                }
                None => error(
                    "template_drops_messages",
                    format!("the chat template leaves out a message of {what}"),
                ),
            }
        };
        let (_, prompt) = render("a question", &ONE)?;
        let (form, several) = render("several turns", &SEVERAL)?;
        Ok(Self { renderer, form, prompt, several })
    }

    /// A conversation of roles and texts.
    pub(super) fn render(
        &self,
        turns: &[(&str, &str)],
        add_generation_prompt: bool,
    ) -> Result<String, RenderError> {
        self.renderer.render(&self.form.conversation(turns), add_generation_prompt)
    }

    /// Whether questions are texts.
    pub(super) fn takes_text(&self) -> bool {
        self.form == ContentForm::Text
    }

    /// What is wrong with the texts; `end` ends the model's turn.
    pub(super) fn findings(
        &self,
        tokenizer: &Tokenizer,
        encoder: &TextEncoder<'_>,
        end: Option<u32>,
    ) -> Vec<Finding> {
        let mut findings = generation_prompt::check(self, tokenizer, end);
        findings.extend(control_tokens::check(self, tokenizer, encoder));
        findings.extend(bos::check(self, tokenizer));
        findings.extend(user_turn::check(self, tokenizer, encoder, end));
        findings.extend(system_message::check(self));
        findings.extend(tool_calls::check(self.renderer));
        findings
    }
}

fn failure(what: &str, problem: &RenderError) -> Finding {
    match problem {
        RenderError::Raised(problem) => {
            let message = format!("the chat template refuses {what}: {problem}");
            let remedy = "if programs are to chat with the model, take the chat template of the base model; else give messages \
                          the fields that the template asks for";
            Finding::new(Severity::Warning, "template_refuses", message, remedy)
        }
        RenderError::Failed(problem) => {
            let message = format!("the chat template fails for {what}: {problem}");
            Finding::new(Severity::Error, "template_fails", message, REMEDY)
        }
    }
}
