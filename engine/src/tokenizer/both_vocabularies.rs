//! `tokenizer.json`, which transformers loads, beside `tokenizer.model`, of which GGUF files are made.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;

use super::bpe_vocab::BpeVocab;
use super::sentencepiece;
use super::tokenizer_files::JsonFields;
use crate::checkpoint::{ModelFiles, SmallFile};
use crate::error::{Error, Result};
use crate::io::json;

#[derive(Deserialize)]
struct JsonVocabulary<'a> {
    #[serde(borrow, default)]
    vocab: BpeVocab<'a>,
}

/// The number of pieces of `tokenizer.model` that `tokenizer.json` lacks or has under another id, and of all pieces; `None` without
/// one of the files.
///
/// # Errors
/// When one of them is invalid.
pub(crate) fn differing_pieces(files: &ModelFiles) -> Result<Option<(usize, usize)>> {
    let (Some(model), Some(json)) = (files.read("tokenizer.model")?, files.read("tokenizer.json")?) else {
        return Ok(None);
    };
    let pieces = sentencepiece::parse(&model.location, &model.bytes)?;
    let ListedTokens { pieces: in_json, added } = ListedTokens::read(&json)?;
    let known: HashSet<(u32, Cow<'_, str>)> = in_json.into_iter().chain(added).collect();
    let is_known = |(id, text): (u32, &str)| known.contains(&(id, Cow::Borrowed(text)));
    let differing = (0..).zip(&pieces).filter(|(id, piece)| !is_known((*id, &piece.text))).count();
    Ok(Some((differing, pieces.len())))
}

/// What a `tokenizer.json` lists, whatever tokenizer it makes.
pub(super) struct ListedTokens<'a> {
    pub(super) pieces: Vec<(u32, Cow<'a, str>)>,
    pub(super) added: Vec<(u32, Cow<'a, str>)>,
}

impl<'a> ListedTokens<'a> {
    /// # Errors
    /// When the file is invalid or has no model.
    pub(super) fn read(json: &'a SmallFile) -> Result<Self> {
        let tokens: JsonFields<JsonVocabulary<'a>> = json::parse(&json.location, &json.bytes)?;
        let Some(JsonVocabulary { vocab }) = tokens.model else {
            return Err(Error::invalid(json.location.as_str(), "has no model"));
        };
        let added = tokens.added_tokens.into_iter().map(|token| (token.id, Cow::Owned(token.content)));
        let pieces = vocab.0.into_iter().map(|(text, id)| (id, text));
        Ok(Self { pieces: pieces.collect(), added: added.collect() })
    }
}
