//! Prompts as token ids, through the model's chat template.

use minijinja::value::{Value, ValueKind};

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
/// The most tokens of a given answer that are compared, unless no answer came to its end then.
const MAX_ANSWER_TOKENS: usize = 64;
/// The most tokens of a prompt with a longer answer that is compared to its end.
const MAX_WHOLE_TOKENS: usize = 512;
/// The most tokens of a prompt; longer ones are left out.
const MAX_PROMPT_TOKENS: usize = 512;
/// The most tokens of all prompts and given answers; what does not fit is left out.
const MAX_TOKENS: usize = 1024;
/// How many prompts of a part are tried.
const MAX_TRIED: usize = 64;

/// What to do about a conversation that the template does not render.
const CORRECT_IT: &str = "correct the conversation, or the template of the model";
/// What to do about a part of a message that is no text.
const TEXT_ONLY: &str = "give prompts of text alone";

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
    /// The answer of the file, if it has one, or the beginning of a long one.
    pub(super) answer: Option<Vec<usize>>,
    /// The whole of a long answer that comes to its end.
    whole_answer: Option<Vec<usize>>,
    /// The last message, or the text.
    pub(super) shown: String,
}

impl EncodedPrompt {
    /// The tokens of the prompt and its given answer.
    pub(super) fn len(&self) -> usize {
        self.prompt.len() + self.answer.as_ref().map_or(0, Vec::len)
    }

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

    /// Models are compared by what they say to texts; an image or a sound would be read as if it were not there.
    fn with_part(message: usize, kind: &str) -> Self {
        let problem = format!("message {message} has a part of type `{kind}`, and only text is measured");
        Self { problem, remedy: TEXT_ONLY }
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
                if !(1..=MAX_PROMPT_TOKENS).contains(&encoded.prompt.len()) {
                    LeftOut::add(&mut left_out, || {
                        format!("{}: its length is not 1 to {MAX_PROMPT_TOKENS} tokens", prompt.position)
                    });
                } else if total + encoded.len() <= MAX_TOKENS {
                    total += encoded.len();
                    prompts.push(encoded);
                    break;
                }
            }
        }
        keep_an_end(&mut prompts, &end);
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
        Ok(EncodedPrompt { prompt, answer: None, whole_answer: None, shown: text.to_owned() })
    }

    fn encode_chat(&self, chat: &Conversation, end: &AnswerEnd) -> Result<EncodedPrompt, Unrendered> {
        let role = |message: &Value| message.get_attr("role").map(|role| role.to_string());
        let is_answer = |message| role(message).is_ok_and(|role| role == "assistant" || role == "model");
        let Some((_, before)) = chat.messages.split_last().filter(|(last, _)| is_answer(last)) else {
            let prompt = self.first_ids(&self.render(chat, true)?);
            let shown = last_text(&chat.messages);
            return Ok(EncodedPrompt { prompt, answer: None, whole_answer: None, shown });
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
        let stop = answer.iter().position(|id| end.stop_tokens.contains(id));
        answer.truncate(stop.map_or(answer.len(), |stop| stop + 1));
        let is_whole = stop.is_some() && common + answer.len() <= MAX_WHOLE_TOKENS;
        let whole_answer = (is_whole && answer.len() > MAX_ANSWER_TOKENS).then(|| answer.clone());
        answer.truncate(MAX_ANSWER_TOKENS);
        if common == 0 || answer.is_empty() {
            let problem = "the model's chat template does not render its answer".to_owned();
            return Err(Unrendered { problem, remedy: CORRECT_IT });
        }
        let (prompt, shown) = (whole[..common].to_vec(), last_text(before));
        Ok(EncodedPrompt { prompt, answer: Some(answer), whole_answer, shown })
    }

    fn render(&self, chat: &Conversation, add_generation_prompt: bool) -> Result<String, Unrendered> {
        let renderer = self.renderer.as_ref().ok_or_else(Unrendered::without_template)?;
        if let Some((message, kind)) = part_without_text(&chat.messages) {
            return Err(Unrendered::with_part(message, &kind));
        }
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

/// Takes the shortest long answer as a whole if all answers are long ones, so that how turns end is measured. The last prompts give
/// their place to it.
fn keep_an_end(prompts: &mut Vec<EncodedPrompt>, end: &AnswerEnd) {
    let ends = |answer: &Vec<usize>| answer.last().is_some_and(|last| end.stop_tokens.contains(last));
    if prompts.iter().any(|prompt| prompt.answer.as_ref().is_none_or(ends)) {
        return;
    }
    let whole =
        prompts.iter().enumerate().filter_map(|(at, prompt)| Some((prompt.whole_answer.as_ref()?.len(), at)));
    let Some((_, shortest)) = whole.min() else { return };
    let mut kept = prompts.remove(shortest);
    kept.answer = kept.whole_answer.take();
    while prompts.iter().map(EncodedPrompt::len).sum::<usize>() + kept.len() > MAX_TOKENS {
        prompts.pop();
    }
    prompts.insert(shortest.min(prompts.len()), kept);
}

/// The first part of a message that is not a text: the number of the message and the part's type.
fn part_without_text(messages: &[Value]) -> Option<(usize, String)> {
    let kind = |part: &Value| match part.get_attr("type").ok()?.as_str() {
        Some(kind) => Some(kind.to_owned()).filter(|kind| kind != "text"),
        None if part.as_str().is_some() || text_field(part, "text").is_some() => None,
        None => Some("none".to_owned()),
    };
    (1..).zip(messages).find_map(|(number, message)| Some((number, parts(message).iter().find_map(kind)?)))
}

/// The parts of a message's content; none of a text.
fn parts(message: &Value) -> Vec<Value> {
    let content = message.get_attr("content").ok().filter(|content| content.kind() == ValueKind::Seq);
    content.and_then(|content| Some(content.try_iter().ok()?.collect())).unwrap_or_default()
}

/// The text of the last message.
fn last_text(messages: &[Value]) -> String {
    let Some(last) = messages.last() else { return String::new() };
    let of_part = |part: &Value| part.as_str().map(str::to_owned).or_else(|| text_field(part, "text"));
    text_field(last, "content").unwrap_or_else(|| parts(last).iter().filter_map(of_part).collect())
}

fn text_field(value: &Value, name: &str) -> Option<String> {
    value.get_attr(name).ok()?.as_str().map(str::to_owned)
}

fn template_error(model: &Model, problem: &str) -> Error {
    Error::invalid(model.base().location(), format!("the chat template fails: {problem}"))
}
