//! Prompts as token ids, through the model's chat template.

use std::fmt;

use super::prompt_set::{self, Prompt, PromptFile};
use crate::error::{Error, Result};
use crate::forward::{AnswerEnd, BegunAnswer};
use crate::merge::Model;
use crate::tokenizer::{
    ChatRenderer, Conversation, TextEncoder, Tokenizer, generation_eos, message, turn_end,
};

/// The most tokens of an answer that is generated.
pub(super) const MAX_NEW_TOKENS: usize = 24;
/// The most tokens of a given answer that are compared.
const MAX_ANSWER_TOKENS: usize = 64;
/// The most tokens of a prompt; longer ones are left out.
const MAX_PROMPT_TOKENS: usize = 512;
/// The most tokens of all prompts and given answers; what does not fit is left out.
const MAX_TOKENS: usize = 1024;
/// How many prompts of a part are tried.
const MAX_TRIED: usize = 64;

/// A prompt as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EncodedPrompt {
    /// What the model reads.
    pub(super) prompt: Vec<usize>,
    /// The answer of the file, if it has one.
    pub(super) answer: Option<Vec<usize>>,
    /// The last message, or the text.
    pub(super) shown: String,
}

impl EncodedPrompt {
    /// The prompt, of whose answer nothing is known.
    pub(super) fn unanswered(&self) -> BegunAnswer {
        BegunAnswer { prompt: self.prompt.clone(), answer: Vec::new() }
    }
}

/// A model's tokenizer and chat template.
pub(super) struct PromptEncoder<'a> {
    model: &'a Model,
    tokenizer: &'a Tokenizer,
    encoder: TextEncoder<'a>,
    renderer: Option<ChatRenderer>,
}

impl<'a> PromptEncoder<'a> {
    pub(super) fn new(model: &'a Model, tokenizer: &'a Tokenizer) -> Result<Self> {
        let renderer = ChatRenderer::new(tokenizer).map_err(|problem| template_error(model, &problem))?;
        Ok(Self { model, tokenizer, encoder: TextEncoder::new(tokenizer), renderer })
    }

    /// The first prompt of each part of the list that the template can render within the limits of tokens.
    pub(super) fn encode(&self, file: &PromptFile) -> Result<Vec<EncodedPrompt>> {
        let (mut encoded, mut total, mut problem) = (Vec::new(), 0, None);
        for part in prompt_set::parts(&file.prompts) {
            for prompt in part.iter().take(MAX_TRIED) {
                let prompt = match self.encode_one(prompt) {
                    Ok(prompt) => prompt,
                    Err(error) => {
                        problem = problem.or(Some(error));
                        continue;
                    }
                };
                let tokens = prompt.prompt.len() + prompt.answer.as_ref().map_or(0, Vec::len);
                if (1..=MAX_PROMPT_TOKENS).contains(&prompt.prompt.len()) && total + tokens <= MAX_TOKENS {
                    total += tokens;
                    encoded.push(prompt);
                    break;
                }
            }
        }
        match (encoded.is_empty(), problem) {
            (false, _) => Ok(encoded),
            (true, Some(problem)) => Err(problem),
            (true, None) => {
                let problem =
                    format!("none of the prompts has 1 to {MAX_PROMPT_TOKENS} tokens: shorten them");
                Err(Error::invalid(&file.name, problem))
            }
        }
    }

    /// When an answer ends: at the tokens at which programs stop, and at the end of the turn.
    pub(super) fn answer_end(&self) -> Result<AnswerEnd> {
        let mut stop_tokens = generation_eos(self.model.files())?.unwrap_or_default();
        stop_tokens.extend(self.tokenizer.special_id("eos"));
        stop_tokens.extend(self.turn_end());
        let stop_tokens = stop_tokens.into_iter().map(|id| id as usize).collect();
        Ok(AnswerEnd { stop_tokens, max_tokens: MAX_NEW_TOKENS })
    }

    /// The token that ends the model's turn. A template that does not render an answer ends no turn.
    pub(super) fn turn_end(&self) -> Option<u32> {
        turn_end(self.tokenizer, &self.encoder, self.renderer.as_ref()?).ok().flatten()
    }

    /// The text of an answer.
    pub(super) fn decode(&self, answer: &[usize]) -> String {
        self.encoder.decode(answer.iter().filter_map(|id| u32::try_from(*id).ok()))
    }

    /// The tokens of a prompt with its answer, if it has one.
    pub(super) fn encode_whole(&self, prompt: &Prompt) -> Result<Vec<usize>> {
        match (prompt, &self.renderer) {
            (Prompt::Chat(chat), Some(renderer)) => {
                let text = renderer.render(chat, false);
                text.map_err(|problem| template_error(self.model, &problem)).map(|text| self.ids(&text))
            }
            (Prompt::Chat(_) | Prompt::Text(_), _) => self.encode_one(prompt).map(|encoded| encoded.prompt),
        }
    }

    fn encode_one(&self, prompt: &Prompt) -> Result<EncodedPrompt> {
        let chat = match (prompt, &self.renderer) {
            (Prompt::Text(text), None) => {
                let bos = self.tokenizer.special_id("bos").map(|id| id as usize);
                let prompt = bos.into_iter().chain(self.first_ids(text)).collect();
                return Ok(EncodedPrompt { prompt, answer: None, shown: text.clone() });
            }
            (Prompt::Text(text), Some(_)) => {
                &Conversation { messages: vec![message("user", text)], tools: None }
            }
            (Prompt::Chat(chat), _) => chat,
        };
        let Some(renderer) = &self.renderer else {
            let problem =
                "has no chat template, so conversations cannot be rendered: give prompts as plain text";
            return Err(self.invalid(problem.to_owned()));
        };
        let render = |chat: &Conversation, add_generation_prompt| {
            let text = renderer.render(chat, add_generation_prompt);
            text.map_err(|problem| template_error(self.model, &problem)).map(|text| self.first_ids(&text))
        };
        let role = |message: &minijinja::Value| message.get_attr("role").map(|role| role.to_string());
        let Some((last, before)) = chat
            .messages
            .split_last()
            .filter(|(last, _)| role(last).is_ok_and(|role| role == "assistant" || role == "model"))
        else {
            let prompt = render(chat, true)?;
            return Ok(EncodedPrompt { prompt, answer: None, shown: last_text(&chat.messages) });
        };
        let asked = Conversation { messages: before.to_vec(), tools: chat.tools.clone() };
        let (prompt, whole) = (render(&asked, true)?, render(chat, false)?);
        let common = prompt.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        let end = self.answer_end()?;
        let mut answer = whole[common..].to_vec();
        if let Some(at) = answer.iter().position(|id| end.stop_tokens.contains(id)) {
            answer.truncate(at + 1);
        }
        answer.truncate(MAX_ANSWER_TOKENS);
        if common == 0 || answer.is_empty() {
            let shown = last_text(std::slice::from_ref(last));
            return Err(self.invalid(format!("the chat template renders no answer for {shown:?}")));
        }
        Ok(EncodedPrompt { prompt: whole[..common].to_vec(), answer: Some(answer), shown: last_text(before) })
    }

    /// The ids of a prompt and its answer, as far as they count.
    fn first_ids(&self, text: &str) -> Vec<usize> {
        /// Shorter texts are encoded at once.
        const LONG: usize = 1 << 16;
        let most = MAX_PROMPT_TOKENS + MAX_ANSWER_TOKENS + 1;
        match text.len() > LONG {
            true => self.encoder.encode_first(text, most).into_iter().map(|id| id as usize).collect(),
            false => self.ids(text),
        }
    }

    fn ids(&self, text: &str) -> Vec<usize> {
        self.encoder.encode(text).into_iter().map(|id| id as usize).collect()
    }

    fn invalid(&self, problem: String) -> Error {
        Error::invalid(self.model.base().location(), problem)
    }
}

/// The content of the last message.
fn last_text(messages: &[minijinja::Value]) -> String {
    let content = messages.last().and_then(|message| message.get_attr("content").ok());
    content.map(|content| content.to_string()).unwrap_or_default()
}

fn template_error(model: &Model, problem: &dyn fmt::Display) -> Error {
    Error::invalid(model.base().location(), format!("the chat template fails: {problem}"))
}
