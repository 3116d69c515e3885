//! The prompts with which models are compared: a text, or conversations as JSON.

use std::fmt;

use super::prompt_file;
use crate::error::Result;
use crate::tokenizer::Conversation;

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

/// A prompt, and where it is in its file.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) position: Position,
    pub(super) content: PromptContent,
}

/// A position in a file, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(super) enum Position {
    /// A line, blank ones counted.
    Line(usize),
    /// An entry of a JSON list.
    Entry(usize),
}

/// What a prompt asks.
#[derive(Debug, Clone)]
pub(super) enum PromptContent {
    /// A message of the user, or the start of a text for models without a chat template.
    Text(String),
    /// A conversation. If the assistant's message is the last one, it is the answer.
    Chat(Conversation),
}

impl PromptSet {
    /// Four fixed texts, for want of prompts that fit the fine-tune.
    pub fn fixed() -> Self {
        Self { file: None, samples: 0 }
    }

    /// The prompts of a file: one a line, or JSON Lines (or a JSON list) of a training set's objects with `messages`,
    /// `conversations`, `instruction`, `question` or `prompt`. A file whose first line is not JSON is a text, unless its name ends in `.json`
    /// or `.jsonl`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) with the line, if it is neither; and if there is no prompt.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let prompts = prompt_file::parse(file, bytes)?;
        Ok(Self { file: Some(PromptFile { name: file.to_owned(), prompts }), samples: SAMPLES })
    }

    /// The same prompts, to which only the fine-tuned model answers, where the file has no answer.
    #[must_use]
    pub fn without_samples(self) -> Self {
        Self { samples: 0, ..self }
    }
}

/// The parts of the whole list of which a prompt each is used.
pub(super) fn parts(prompts: &[Prompt]) -> impl Iterator<Item = &[Prompt]> {
    let (count, total) = (prompts.len().min(MAX_PROMPTS), prompts.len());
    (0..count).map(move |number| &prompts[number * total / count..(number + 1) * total / count])
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Entry(number) => write!(f, "entry {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_a_long_file_are_taken_from_all_over_it() {
        let text: String = (0..160).map(|n| format!("{n}\n")).collect();
        let all = PromptSet::parse("p", text.as_bytes()).unwrap().file.unwrap().prompts;
        let parts: Vec<_> = parts(&all).collect();
        let first = |part: &[Prompt]| part[0].position.to_string();
        assert_eq!(
            (parts.len(), first(parts[0]), first(parts[15])),
            (16, "line 1".into(), "line 151".into())
        );
        assert!(parts.iter().all(|part| part.len() == 10));
    }
}
