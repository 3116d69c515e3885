//! Added tokens, such as `<start_of_turn>`, which replace tokens of the SentencePiece vocabulary.
//!
//! transformers before 5 writes them to `tokenizer_config.json` (`added_tokens_decoder`), since 5 only to
//! `tokenizer.json`. Both have the same content; the first that exists is used.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::tokenizer_files::TokenizerFiles;
use super::{TokenType, TokenVocabulary};
use crate::error::{Error, Result};

const SCORE: f32 = -1000.0;

/// An entry of `added_tokens_decoder`.
#[derive(Deserialize)]
struct AddedEntry {
    content: String,
    #[serde(default)]
    special: bool,
}

/// Sets text, score and type of added tokens.
pub(super) fn apply(files: &TokenizerFiles, vocabulary: &mut TokenVocabulary) -> Result<()> {
    for (text, id) in files.added.iter().flat_map(|added| &added.0) {
        vocabulary.set(*id as usize, text, TokenType::UserDefined);
    }
    let decoder =
        files.config.as_ref().and_then(|c| c.get("added_tokens_decoder")).and_then(Value::as_object);
    match (decoder, &files.json) {
        (Some(decoder), _) if !decoder.is_empty() => {
            for (id, entry) in decoder {
                let invalid = || {
                    let problem = format!("added_tokens_decoder has an invalid entry {id:?}");
                    Error::invalid(&files.config_file, problem)
                };
                let entry = AddedEntry::deserialize(entry).map_err(|_| invalid())?;
                vocabulary.add(id.parse().map_err(|_| invalid())?, &entry.content, entry.special);
            }
        }
        (_, Some(json)) => {
            for token in &json.added_tokens {
                vocabulary.add(token.id as usize, &token.content, token.special);
            }
        }
        (_, None) => {}
    }
    Ok(())
}

impl TokenVocabulary {
    fn add(&mut self, id: usize, text: &str, special: bool) {
        if special || looks_special(text) {
            self.set(id, text, TokenType::Control);
        } else {
            let text: Cow<'_, str> = text.replace('\u{2581}', " ").into();
            self.set(id, &text, TokenType::UserDefined);
        }
    }

    /// Ignores ids beyond the vocabulary, as the converter does.
    fn set(&mut self, id: usize, text: &str, kind: TokenType) {
        if id < self.tokens.len() {
            text.clone_into(&mut self.tokens[id]);
            self.scores[id] = SCORE;
            self.types[id] = kind;
        }
    }
}

/// The converter's rule for tokens that are control tokens without the `special` flag (`does_token_look_special`).
fn looks_special(text: &str) -> bool {
    let between = |start: &str, end: &str| text.starts_with(start) && text.ends_with(end);
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || between("<|", "|>")
        || between("<\u{ff5c}", "\u{ff5c}>")
        || between("<unused", ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_tokens_are_control_if_special_or_if_they_look_special() {
        let mut vocabulary = TokenVocabulary {
            tokens: vec![String::new(); 4],
            scores: vec![0.0; 4],
            types: vec![TokenType::Normal; 4],
        };
        vocabulary.add(0, "<start_of_turn>", true);
        vocabulary.add(1, "<unused7>", false);
        vocabulary.add(2, "\u{2581}\u{2581}", false);
        vocabulary.add(9, "far away", false);
        assert_eq!(vocabulary.types[..3], [TokenType::Control, TokenType::Control, TokenType::UserDefined]);
        assert_eq!(vocabulary.tokens[2], "  ");
        assert_eq!(vocabulary.scores, [SCORE, SCORE, SCORE, 0.0]);
    }
}
