//! `tokenizer.json`, which transformers loads, beside `tokenizer.model`, of which GGUF files are made.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::TokenType;
use super::bpe::BpeModel;
use super::bpe_vocab::BpeVocab;
use super::sentencepiece::{self, SentencePiece};
use super::tokenizer_files::JsonFields;
use crate::checkpoint::{ModelFiles, SmallFile};
use crate::error::{Error, Result};
use crate::io::json;

#[derive(Deserialize)]
struct JsonVocabulary<'a> {
    #[serde(borrow, default)]
    vocab: BpeVocab<'a>,
}

/// How `tokenizer.json` gives texts other ids than `tokenizer.model`, as the end of "a tokenizer …"; `None` if it does not, or without
/// one of the files.
///
/// # Errors
/// When one of them is invalid.
pub(crate) fn difference_between_files(files: &ModelFiles) -> Result<Option<String>> {
    let (Some(model), Some(json)) = (files.read("tokenizer.model")?, files.read("tokenizer.json")?) else {
        return Ok(None);
    };
    let pieces = sentencepiece::parse(&model.location, &model.bytes)?;
    let ListedTokens { pieces: listed, added } = ListedTokens::read(&json)?;
    Ok(different_pieces(&pieces, listed, added).or(different_merges(&pieces, &json)?))
}

/// Pieces that the JSON lacks or has under another id. It has a tab in place of its byte, and words of its own for tokens that no text
/// is split into.
fn different_pieces(
    pieces: &[SentencePiece],
    listed: Vec<(u32, Cow<'_, str>)>,
    added: Vec<(u32, Cow<'_, str>)>,
) -> Option<String> {
    /// Of all pieces.
    const MOST_SHARE: f64 = 0.01;
    let is_added: HashSet<u32> = added.iter().map(|(id, _)| *id).collect();
    let known: HashSet<(u32, Cow<'_, str>)> = listed.into_iter().chain(added).collect();
    let differing: Vec<_> = (0..)
        .zip(pieces)
        .filter(|(id, piece)| !known.contains(&(*id, Cow::Borrowed(piece.text.as_str()))))
        .collect();
    let mut words = differing.iter().filter(|(id, piece)| is_word(piece) && !is_added.contains(id));
    let (word, all, count) = (words.next(), pieces.len(), differing.len());
    (word.is_some() || count as f64 > MOST_SHARE * all as f64).then(|| {
        let first =
            word.or(differing.first()).map(|(id, piece)| format!(", such as {:?} as {id}", piece.text));
        format!(
            "that lacks {count} of its {all} pieces, or has them under other ids{}",
            first.unwrap_or_default()
        )
    })
}

/// Whether texts are split into it. A symbol that the trainer was given is matched before, and has a score of its own.
fn is_word(piece: &SentencePiece) -> bool {
    piece.kind == TokenType::Normal && !piece.is_user_defined
}

/// Merges that are not those of the scores.
fn different_merges(pieces: &[SentencePiece], json: &SmallFile) -> Result<Option<String>> {
    let fields: JsonFields<BpeModel<'_>> = json::parse(&json.location, &json.bytes)?;
    let Some(model) = fields.model else { return Ok(None) };
    if let Some(difference) = model.difference_from_gemma(&fields.normalizer, &fields.pre_tokenizer) {
        return Ok(Some(difference));
    }
    // what is matched before texts are split is no matter of merges
    let matched = pieces.iter().filter(|piece| !is_word(piece)).map(|piece| piece.text.as_str());
    let added = fields.added_tokens.iter().map(|token| token.content.as_str());
    let merged = match model.merged_texts(matched.chain(added)) {
        Ok(merged) => merged,
        Err(difference) => return Ok(Some(difference)),
    };
    let scores: HashMap<&str, f32> = pieces.iter().map(|piece| (piece.text.as_str(), piece.score)).collect();
    let mut pairs = merged.windows(2);
    let other_order = pairs.find(|pair| {
        let [first, second] = [pair[0], pair[1]].map(|text| scores.get(text));
        matches!((first, second), (Some(first), Some(second)) if first < second)
    });
    Ok(other_order
        .map(|pair| format!("that merges to {:?} before {:?}, though its score is lower", pair[0], pair[1])))
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
