//! The special tokens that transformers loads, by names such as `bos_token`: `eos_token_id` of `config.json` is none of them.

use super::TokenVocabulary;
use super::added_tokens::DEFAULT_SPECIAL_TOKENS;
use super::special_tokens::{token_fields, token_id, token_text};
use super::tokenizer_files::TokenizerFiles;

/// A special token with a name.
#[derive(Debug)]
pub(super) struct LoadedToken {
    pub(super) name: String,
    pub(super) text: String,
    /// `None` if the vocabulary has no such token.
    pub(super) id: Option<u32>,
}

impl LoadedToken {
    /// All tokens of `tokenizer_config.json` and `special_tokens_map.json`, and those of the tokenizer's class for names that they do
    /// not have. A null stands for no token.
    pub(super) fn of(files: &TokenizerFiles<'_>, vocabulary: &TokenVocabulary) -> Vec<Self> {
        let fields = token_fields(files).unwrap_or_default();
        let of_model = ["extra_special_tokens", "model_specific_special_tokens"].into_iter();
        let of_model = of_model.filter_map(|field| fields.get(field)?.as_object()).flatten();
        let named = fields.iter().filter(|(name, _)| name.ends_with("_token")).chain(of_model);
        let named = named.filter_map(|(name, value)| Some((name.as_str(), token_text(value)?)));
        let defaults = DEFAULT_SPECIAL_TOKENS.into_iter().filter(|(name, _)| !fields.contains_key(*name));
        let load = |(name, text): (&str, &str)| {
            let position = || u32::try_from(vocabulary.tokens.iter().position(|token| token == text)?).ok();
            let id = token_id(files, vocabulary, text).or_else(position);
            let id = id.filter(|id| (*id as usize) < vocabulary.tokens.len());
            Self { name: name.to_owned(), text: text.to_owned(), id }
        };
        named.chain(defaults).map(load).collect()
    }

    /// One of a kind such as `bos`.
    #[cfg(test)]
    pub(super) fn for_test(kind: &str, id: u32) -> Self {
        Self { name: format!("{kind}_token"), text: format!("<{kind}>"), id: Some(id) }
    }
}
