//! `tokenizer.json`, which transformers loads, beside `tokenizer.model`, of which GGUF files are made.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;

use super::bpe_vocab::BpeVocab;
use super::sentencepiece;
use super::tokenizer_files::JsonFields;
use crate::checkpoint::ModelFiles;
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
    let tokens: JsonFields<JsonVocabulary<'_>> = json::parse(&json.location, &json.bytes)?;
    let Some(JsonVocabulary { vocab }) = tokens.model else {
        return Err(Error::invalid(json.location.as_str(), "has no model"));
    };
    let added = tokens.added_tokens.iter().map(|token| (token.id, Cow::Borrowed(token.content.as_str())));
    let known: HashSet<(u32, Cow<'_, str>)> =
        vocab.0.into_iter().map(|(text, id)| (id, text)).chain(added).collect();
    let is_known = |(id, text): (u32, &str)| known.contains(&(id, Cow::Borrowed(text)));
    let differing = (0..).zip(&pieces).filter(|(id, piece)| !is_known((*id, &piece.text))).count();
    Ok(Some((differing, pieces.len())))
}
