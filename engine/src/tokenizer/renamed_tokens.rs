//! Added tokens that `tokenizer_config.json` and `tokenizer.json` have under one id with different texts. GGUF files have the first, and
//! transformers gives it another id.

use std::collections::HashMap;

use super::tokenizer_files::TokenizerFiles;

/// An added token with two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenamedToken {
    pub(crate) id: u32,
    /// In `tokenizer_config.json`.
    pub(crate) in_config: String,
    /// In `tokenizer.json`.
    pub(crate) in_json: String,
}

impl RenamedToken {
    /// Sorted by id.
    pub(super) fn of(files: &TokenizerFiles<'_>) -> Vec<Self> {
        let of_json: HashMap<u32, &str> = files
            .json
            .iter()
            .flat_map(|json| &json.added_tokens)
            .map(|token| (token.id, token.content.as_str()))
            .collect();
        let of_config = files.config.iter().flat_map(|config| &config.added_tokens).flatten();
        let renamed = of_config.filter_map(|(id, token)| {
            let in_json = of_json.get(id).filter(|text| **text != token.content)?;
            Some(Self { id: *id, in_config: token.content.clone(), in_json: (*in_json).to_owned() })
        });
        let mut renamed: Vec<Self> = renamed.collect();
        renamed.sort_by_key(|token| token.id);
        renamed
    }
}
