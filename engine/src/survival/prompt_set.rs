//! The prompts with which models are compared: a text, or conversations as JSON.

use minijinja::value::Value;

use crate::error::{Error, Result};
use crate::tokenizer::{Conversation, message};

/// The most prompts that are used of a file: one of each of so many parts.
const MAX_PROMPTS: usize = 16;
/// The prompts whose answers by all models are shown.
const SAMPLES: usize = 3;

/// Prompts, with answers where the file has them.
#[derive(Debug, Clone)]
pub struct PromptSet {
    /// Those of a file; `None` for the fixed ones.
    pub(super) file: Option<PromptFile>,
    /// How many of the first prompts are answered by all models.
    pub(super) samples: usize,
}

/// All prompts of a file.
#[derive(Debug, Clone)]
pub(super) struct PromptFile {
    /// Its name, for error messages.
    pub(super) name: String,
    pub(super) prompts: Vec<Prompt>,
}

/// A prompt.
#[derive(Debug, Clone)]
pub(super) enum Prompt {
    /// A message of the user, or the start of a text for models without a chat template.
    Text(String),
    /// A conversation. If the assistant's message is the last one, it is the answer.
    Chat(Conversation),
}

/// What a line of JSON must have.
const EXPECTED: &str = "give each line `messages`, `conversations`, or `prompt` with or without `completion`";

impl PromptSet {
    /// Four fixed texts, for want of prompts that fit the fine-tune.
    pub fn fixed() -> Self {
        Self { file: None, samples: 0 }
    }

    /// The prompts of a file: one a line, or JSON Lines (or a JSON array) of objects with `messages` (`role` and
    /// `content`), `conversations` (`from` and `value`), or `prompt` with or without `completion` (texts or messages).
    ///
    /// # Errors
    /// [`Error::Invalid`] with the line, if it is neither; and if there is no prompt.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let prompts = parse_all(file, bytes)?;
        Ok(Self { file: Some(PromptFile { name: file.to_owned(), prompts }), samples: SAMPLES })
    }

    /// The same prompts, to which only the fine-tuned model answers, where the file has no answer.
    #[must_use]
    pub fn without_samples(self) -> Self {
        Self { samples: 0, ..self }
    }
}

/// Whether a text begins as a training set does, with an object of JSON or a list of objects. `[edit]` and `{{ name }}` are text.
pub(crate) fn is_training_set(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let (first, then) = match text.split_first() {
        Some((first, rest)) => (*first, rest.trim_ascii_start().first()),
        None => return false,
    };
    matches!((first, then), (b'{', Some(b'"')) | (b'[', Some(b'{')))
}

/// All prompts of a file.
pub(super) fn parse_all(file: &str, bytes: &[u8]) -> Result<Vec<Prompt>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid(file, "is not UTF-8 text"))?;
    let text = text.trim_start_matches('\u{feff}');
    let prompts = match text.trim_start().chars().next() {
        Some('[') => {
            let entries: Vec<Value> =
                serde_json::from_str(text).map_err(|e| Error::invalid(file, format!("invalid JSON: {e}")))?;
            numbered("entry", entries.iter().map(prompt))
        }
        Some('{') => {
            let line = |text: &str| serde_json::from_str(text).map_err(|e| format!("invalid JSON: {e}"));
            let lines = text.lines().filter(|text| !text.trim().is_empty());
            numbered("line", lines.map(|text| line(text).and_then(|entry| prompt(&entry))))
        }
        Some(_) | None => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            Ok(lines.map(|line| Prompt::Text(line.to_owned())).collect())
        }
    };
    let prompts = prompts.map_err(|problem| Error::invalid(file, problem))?;
    match prompts.is_empty() {
        true => Err(Error::invalid(file, "has no prompts")),
        false => Ok(prompts),
    }
}

/// The parts of the whole list of which a prompt each is used.
pub(super) fn parts(prompts: &[Prompt]) -> impl Iterator<Item = &[Prompt]> {
    let (count, total) = (prompts.len().min(MAX_PROMPTS), prompts.len());
    (0..count).map(move |number| &prompts[number * total / count..(number + 1) * total / count])
}

fn numbered(
    what: &str,
    prompts: impl Iterator<Item = Result<Prompt, String>>,
) -> Result<Vec<Prompt>, String> {
    (1..).zip(prompts).map(|(n, prompt)| prompt.map_err(|problem| format!("{what} {n}: {problem}"))).collect()
}

fn prompt(entry: &Value) -> Result<Prompt, String> {
    let tools = field(entry, "tools");
    let chat = |messages: Vec<Value>| match messages.is_empty() {
        true => Err(format!("has no messages: {EXPECTED}")),
        false => Ok(Prompt::Chat(Conversation { messages, tools })),
    };
    if let Some(list) = field(entry, "messages").or_else(|| field(entry, "conversations")) {
        return chat(messages(&list)?);
    }
    let Some(prompt) = field(entry, "prompt") else { return Err(format!("has no prompt: {EXPECTED}")) };
    match (field(entry, "completion"), prompt.as_str()) {
        (None, Some(text)) => Ok(Prompt::Text(text.to_owned())),
        (completion, _) => {
            let mut all = turns("user", &prompt)?;
            all.extend(completion.map_or(Ok(Vec::new()), |completion| turns("assistant", &completion))?);
            chat(all)
        }
    }
}

/// One message of this role, if the value is a text; else the messages of a list.
fn turns(role: &str, value: &Value) -> Result<Vec<Value>, String> {
    value.as_str().map_or_else(|| messages(value), |text| Ok(vec![message(role, text.trim())]))
}

fn messages(list: &Value) -> Result<Vec<Value>, String> {
    let entries = list.try_iter().map_err(|_| format!("has no list of messages: {EXPECTED}"))?;
    entries.map(|entry| with_role(&entry)).collect()
}

/// A message with `role` and `content`, also if it has `from` and `value` (ShareGPT).
fn with_role(entry: &Value) -> Result<Value, String> {
    if field(entry, "role").is_some() {
        return Ok(entry.clone());
    }
    let text = |name| field(entry, name).and_then(|value| value.as_str().map(str::to_owned));
    let (Some(from), Some(value)) = (text("from"), text("value")) else {
        return Err("has a message without role and content".to_owned());
    };
    let role = match from.as_str() {
        "human" => "user",
        "gpt" | "model" => "assistant",
        other => other,
    };
    Ok(message(role, &value))
}

fn field(entry: &Value, name: &str) -> Option<Value> {
    entry.get_attr(name).ok().filter(|value| !value.is_undefined() && !value.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        let shown = |prompt: Prompt| match prompt {
            Prompt::Text(text) => text,
            Prompt::Chat(conversation) => {
                let text =
                    |m: &Value, name| field(m, name).map(|value| value.to_string()).unwrap_or_default();
                let shown = |m: &Value| format!("{}:{}", text(m, "role"), text(m, "content"));
                conversation.messages.iter().map(shown).collect::<Vec<_>>().join("|")
            }
        };
        PromptSet::parse("p", text.as_bytes()).unwrap().file.unwrap().prompts.into_iter().map(shown).collect()
    }

    #[test]
    fn prompts_are_read_in_every_form() {
        assert_eq!(parsed("Hi there\n\n Bye \r\n"), ["Hi there", "Bye"]);
        let line =
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
        assert_eq!(parsed(&format!("{line}\n\n{line}\n")), ["user:a|assistant:b", "user:a|assistant:b"]);
        for (text, expected) in [
            (
                r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#,
                "user:a|assistant:b",
            ),
            (r#"{"prompt": "a"}"#, "a"),
            (r#"{"prompt": "a", "completion": " b"}"#, "user:a|assistant:b"),
            (
                r#"[{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}]"#,
                "user:a|assistant:b",
            ),
        ] {
            assert_eq!(parsed(text), [expected], "{text}");
        }
    }

    #[test]
    fn prompts_of_a_long_file_are_taken_from_all_over_it() {
        let text: String = (0..160).map(|n| format!("{n}\n")).collect();
        let all = PromptSet::parse("p", text.as_bytes()).unwrap().file.unwrap().prompts;
        let parts: Vec<_> = parts(&all).collect();
        let first = |part: &[Prompt]| match &part[0] {
            Prompt::Text(text) => text.clone(),
            Prompt::Chat(_) => String::new(),
        };
        assert_eq!((parts.len(), first(parts[0]), first(parts[15])), (16, "0".to_owned(), "150".to_owned()));
        assert!(parts.iter().all(|part| part.len() == 10));
    }

    #[test]
    fn files_without_prompts_are_refused_with_the_line() {
        for (text, problem) in [
            ("\n \n", "has no prompts"),
            (
                "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n{\"text\": \"b\"}",
                "line 2: has no prompt",
            ),
            ("{\"messages\": 7}", "line 1: has no list of messages"),
            ("{\"messages\": []}", "line 1: has no messages"),
            ("{\"messages\": [{\"content\": \"a\"}]}", "without role"),
            ("{", "line 1: invalid JSON"),
            ("[1]", "entry 1: has no prompt"),
        ] {
            let error = PromptSet::parse("p.jsonl", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("p.jsonl") && error.contains(problem), "{text}: {error}");
        }
    }
}
