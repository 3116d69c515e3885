//! Prompts as token ids, through the model's chat template.

use super::prompt_set::{self, Prompt, PromptContent, PromptFile};
use crate::error::{Error, Result};
use crate::forward::{AnswerEnd, BegunAnswer};
use crate::left_out::LeftOut;
use crate::merge::Model;
use crate::tokenizer::{
    ChatRenderer, ContentForm, Conversation, RenderError, TextEncoder, Tokenizer, generation_eos, turn_end,
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

/// What to do about a conversation that the template does not render.
const CORRECT_IT: &str = "correct the conversation, or the template of the model";

/// The prompts of a file that are used, at least one.
pub(super) struct EncodedPrompts {
    pub(super) prompts: Vec<EncodedPrompt>,
    /// Those before them that cannot be used.
    pub(super) left_out: Option<LeftOut>,
}

/// Why a prompt cannot be rendered.
pub(super) struct Unrendered {
    problem: String,
    remedy: &'static str,
}

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

impl Unrendered {
    fn by_template(problem: &RenderError) -> Self {
        Self {
            problem: format!("the model's chat template does not render it: {problem}"),
            remedy: CORRECT_IT,
        }
    }

    fn without_template() -> Self {
        let problem = "the model has no chat template, so conversations cannot be rendered";
        Self { problem: problem.to_owned(), remedy: "give prompts as plain text" }
    }

    /// The prompt is left out.
    pub(super) fn reason(&self, prompt: &Prompt) -> String {
        format!("{}: {}", prompt.position, self.problem)
    }

    /// No prompt of the file can be used.
    pub(super) fn error(&self, file: &str, prompt: &Prompt) -> Error {
        Error::invalid(file, format!("{}: {}", self.reason(prompt), self.remedy))
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
    pub(super) fn encode(&self, file: &PromptFile) -> Result<EncodedPrompts> {
        let end = self.answer_end()?;
        let (mut prompts, mut total, mut left_out, mut refused) = (Vec::new(), 0, None, None);
        for part in prompt_set::parts(&file.prompts) {
            for prompt in part.iter().take(MAX_TRIED) {
                let encoded = match self.encode_one(prompt, &end) {
                    Ok(encoded) => encoded,
                    Err(problem) => {
                        LeftOut::add(&mut left_out, || problem.reason(prompt));
                        refused = refused.or_else(|| Some(problem.error(&file.name, prompt)));
                        continue;
                    }
                };
                let (length, answer) = (encoded.prompt.len(), encoded.answer.as_ref().map_or(0, Vec::len));
                if !(1..=MAX_PROMPT_TOKENS).contains(&length) {
                    LeftOut::add(&mut left_out, || {
                        format!("{}: its length is not 1 to {MAX_PROMPT_TOKENS} tokens", prompt.position)
                    });
                } else if total + length + answer <= MAX_TOKENS {
                    total += length + answer;
                    prompts.push(encoded);
                    break;
                }
            }
        }
        match (prompts.is_empty(), refused) {
            (false, _) => Ok(EncodedPrompts { prompts, left_out }),
            (true, Some(error)) => Err(error),
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
    pub(super) fn encode_whole(&self, prompt: &Prompt) -> Result<Vec<usize>, Unrendered> {
        match &prompt.content {
            PromptContent::Chat(chat) => Ok(self.ids(&self.render(chat, false)?)),
            PromptContent::Text(text) => self.encode_text(text).map(|encoded| encoded.prompt),
        }
    }

    fn encode_one(&self, prompt: &Prompt, end: &AnswerEnd) -> Result<EncodedPrompt, Unrendered> {
        match &prompt.content {
            PromptContent::Text(text) => self.encode_text(text),
            PromptContent::Chat(chat) => self.encode_chat(chat, end),
        }
    }

    /// A message of the user, or the start of a text without a template.
    fn encode_text(&self, text: &str) -> Result<EncodedPrompt, Unrendered> {
        let prompt = match &self.renderer {
            Some(renderer) => {
                let turns = [("user", text)];
                let form =
                    ContentForm::of(renderer, &turns).map_err(|problem| Unrendered::by_template(&problem))?;
                self.first_ids(&self.render(&form.conversation(&turns), true)?)
            }
            None => {
                let bos = self.tokenizer.special_id("bos").map(|id| id as usize);
                bos.into_iter().chain(self.first_ids(text)).collect()
            }
        };
        Ok(EncodedPrompt { prompt, answer: None, shown: text.to_owned() })
    }

    fn encode_chat(&self, chat: &Conversation, end: &AnswerEnd) -> Result<EncodedPrompt, Unrendered> {
        let role = |message: &minijinja::Value| message.get_attr("role").map(|role| role.to_string());
        let is_answer = |message| role(message).is_ok_and(|role| role == "assistant" || role == "model");
        let Some((_, before)) = chat.messages.split_last().filter(|(last, _)| is_answer(last)) else {
            let prompt = self.first_ids(&self.render(chat, true)?);
            return Ok(EncodedPrompt { prompt, answer: None, shown: last_text(&chat.messages) });
        };
        if before.is_empty() {
            let problem = "its only message is an answer".to_owned();
            return Err(Unrendered { problem, remedy: "begin it with a message of the user" });
        }
        let asked = Conversation { messages: before.to_vec(), tools: chat.tools.clone() };
        let prompt = self.first_ids(&self.render(&asked, true)?);
        let whole = self.first_ids(&self.render(chat, false)?);
        let common = prompt.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        let mut answer = whole[common..].to_vec();
        if let Some(at) = answer.iter().position(|id| end.stop_tokens.contains(id)) {
            answer.truncate(at + 1);
        }
        answer.truncate(MAX_ANSWER_TOKENS);
        if common == 0 || answer.is_empty() {
            let problem = "the model's chat template does not render its answer".to_owned();
            return Err(Unrendered { problem, remedy: CORRECT_IT });
        }
        Ok(EncodedPrompt { prompt: whole[..common].to_vec(), answer: Some(answer), shown: last_text(before) })
    }

    fn render(&self, chat: &Conversation, add_generation_prompt: bool) -> Result<String, Unrendered> {
        let renderer = self.renderer.as_ref().ok_or_else(Unrendered::without_template)?;
        let text = renderer.render(chat, add_generation_prompt);
        text.map_err(|problem| Unrendered::by_template(&problem))
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
}

/// The content of the last message.
fn last_text(messages: &[minijinja::Value]) -> String {
    let content = messages.last().and_then(|message| message.get_attr("content").ok());
    content.map(|content| content.to_string()).unwrap_or_default()
}

fn template_error(model: &Model, problem: &str) -> Error {
    Error::invalid(model.base().location(), format!("the chat template fails: {problem}"))
}
