//! Added tokens, such as `<start_of_turn>`, which replace tokens of the SentencePiece vocabulary.
//!
//! transformers before 5 writes them to `tokenizer_config.json` (`added_tokens_decoder`), since 5 only to
//! `tokenizer.json`. Both have the same content, unless they come from different folders.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use super::special_tokens::{token_fields, token_text};
use super::tokenizer_files::TokenizerFiles;
use super::{TokenType, TokenVocabulary};

const SCORE: f32 = -1000.0;

/// The special tokens of the tokenizer's class, used if `tokenizer_config.json` does not set them.
pub(super) const DEFAULT_SPECIAL_TOKENS: [(&str, &str); 5] = [
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// Sets text, score and type of added tokens. Those that only `tokenizer.json` has are added to those of
/// `tokenizer_config.json`, as in transformers.
pub(super) fn apply(files: &TokenizerFiles<'_>, vocabulary: &mut TokenVocabulary) {
    for (text, id) in files.added.iter().flat_map(|added| &added.0) {
        vocabulary.set(*id as usize, text, TokenType::UserDefined);
    }
    let of_config = files.config.iter().flat_map(|config| &config.added_tokens).flatten();
    let of_json = files.json.iter().flat_map(|json| &json.added_tokens);
    let known: HashSet<u32> = of_config.clone().map(|(id, _)| *id).collect();
    for token in of_json.filter(|token| !known.contains(&token.id)) {
        vocabulary.add(token.id as usize, &token.content, token.special);
    }
    for (id, token) in of_config {
        vocabulary.add(*id as usize, &token.content, token.special);
    }
}

/// Sets the types of pieces that `tokenizer.model` calls user-defined, for folders in which nothing else lists added
/// tokens. transformers makes added tokens of them, too.
pub(super) fn apply_user_defined(
    files: &TokenizerFiles<'_>,
    user_defined: &[usize],
    vocabulary: &mut TokenVocabulary,
) {
    let of_config = files.config.as_ref().and_then(|config| config.added_tokens.as_ref());
    if files.json.is_some() || of_config.is_some_and(|tokens| !tokens.is_empty()) {
        return;
    }
    let special = special_texts(files);
    for id in user_defined {
        if let Some(text) = vocabulary.tokens.get(*id).cloned() {
            vocabulary.add(*id, &text, special.contains(&text));
        }
    }
}

/// The texts of special tokens: those that are named, and those of the tokenizer's class for kinds that are not.
pub(super) fn special_texts(files: &TokenizerFiles<'_>) -> HashSet<String> {
    let fields = token_fields(files).unwrap_or_default();
    let defaults = DEFAULT_SPECIAL_TOKENS.iter().filter(|(key, _)| !fields.contains_key(*key));
    named_texts(files).into_iter().chain(defaults.map(|(_, text)| (*text).to_owned())).collect()
}

/// The texts in the `*_token` entries and the lists of `tokenizer_config.json` and `special_tokens_map.json`.
pub(super) fn named_texts(files: &TokenizerFiles<'_>) -> HashSet<String> {
    let fields = token_fields(files).unwrap_or_default();
    let text = |value: &Value| token_text(value).map(str::to_owned);
    let named = fields.iter().filter(|(key, _)| key.ends_with("_token")).filter_map(|(_, value)| text(value));
    let lists = ["extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens"];
    let listed = lists.iter().filter_map(|key| fields.get(*key)).flat_map(|value| match value {
        Value::Array(list) => list.iter().filter_map(text).collect::<Vec<_>>(),
        Value::Object(named) => named.values().filter_map(text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    });
    named.chain(listed).collect()
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
