//! Tokens that the files list and the embedding has no row for: programs that look them up fail, or read another token's row.

use std::collections::HashSet;
use std::fmt;

use super::TokenVocabulary;
use super::added_tokens::named_texts;
use super::tokenizer_files::TokenizerFiles;

/// Placeholders that models without encoders list, too: a text has none of them.
const PLACEHOLDERS: [&str; 2] = ["<image_soft_token>", "<audio_soft_token>"];

/// A token without a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowlessToken {
    text: String,
    /// `None` if the files only name it: transformers then adds it after all others.
    id: Option<usize>,
}

impl fmt::Display for RowlessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{} ({id})", self.text),
            None => write!(f, "{}, which has no id", self.text),
        }
    }
}

impl RowlessToken {
    /// Of these pieces, and of the added tokens of the files, those that are not among the first `rows`; and special tokens that
    /// are only named. Sorted by id.
    pub(super) fn of(
        files: &TokenizerFiles<'_>,
        vocabulary: &TokenVocabulary,
        pieces: impl IntoIterator<Item = (usize, String)>,
        rows: usize,
    ) -> Vec<Self> {
        let added = files.added.iter().flat_map(|added| &added.0);
        let of_config = files.config.iter().flat_map(|config| &config.added_tokens).flatten();
        let of_json = files.json.iter().flat_map(|json| &json.added_tokens);
        let listed = added
            .map(|(text, id)| (*id, text))
            .chain(of_config.map(|(id, token)| (*id, &token.content)))
            .chain(of_json.map(|token| (token.id, &token.content)))
            .map(|(id, text)| (id as usize, text.clone()));
        let listed: Vec<(usize, String)> = pieces.into_iter().chain(listed).collect();
        let known: HashSet<&str> = listed.iter().map(|(_, text)| text.as_str()).collect();
        let known: HashSet<&str> = vocabulary.tokens.iter().map(String::as_str).chain(known).collect();
        let named =
            named_texts(files).into_iter().filter(|text| !text.is_empty() && !known.contains(&**text));
        let mut named: Vec<Self> = named.map(|text| Self { text, id: None }).collect();
        named.sort_by(|one, other| one.text.cmp(&other.text));
        let mut tokens: Vec<Self> = listed
            .into_iter()
            .filter(|(id, text)| *id >= rows && !PLACEHOLDERS.contains(&text.as_str()))
            .map(|(id, text)| Self { text, id: Some(id) })
            .collect();
        tokens.sort_by(|one, other| (one.id, &one.text).cmp(&(other.id, &other.text)));
        tokens.dedup();
        tokens.extend(named);
        tokens
    }

    /// Whether the files have no more than its name, and a vocabulary has it.
    pub(super) fn is_only_named_in(&self, vocabulary: &TokenVocabulary) -> bool {
        self.id.is_none() && vocabulary.tokens.contains(&self.text)
    }

    /// Whether this is its text.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }
}
