//! The tokenizer that an adapter brings, beside the base's. Where it only lacks tokens, the vocabulary of the base is taken instead:
//! nothing that training added is lost with it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::both_vocabularies::ListedTokens;
use super::{ShownToken, TokenType, Tokenizer};
use crate::checkpoint::{EmbeddingRows, FileOrigin, ModelFiles};
use crate::error::{Error, Result};
use crate::gemma::Architecture;
use crate::io::{Source, read_source};

/// The files that tokens and their ids come from.
const FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];
/// The special tokens that programs use.
const KINDS: [&str; 4] = ["bos", "eos", "pad", "unk"];

/// What an adapter changes of the base's tokenizer.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenizerChange {
    /// What its vocabulary lacks.
    pub(crate) lost: Option<LostTokens>,
    /// Whether the base's vocabulary is taken instead.
    pub(crate) is_mended: bool,
    /// The special tokens that differ.
    pub(crate) special: Vec<SpecialTokenChange>,
}

/// Tokens of the base that are missing, have another one under their id, or are found in texts no more.
#[derive(Debug, Clone)]
pub(crate) struct LostTokens {
    pub(crate) count: usize,
    /// Text and id of the first.
    pub(crate) first: String,
}

/// A special token that is not the base's.
#[derive(Debug, Clone)]
pub(crate) struct SpecialTokenChange {
    pub(crate) kind: &'static str,
    pub(crate) before: String,
    /// Text and id; `None` if there is none.
    pub(crate) after: Option<String>,
}

/// The files of a tokenizer, and the rows of the embedding it is for.
#[derive(Clone, Copy)]
pub(crate) struct TokenizerInput<'a> {
    pub(crate) files: &'a ModelFiles,
    pub(crate) rows: EmbeddingRows,
}

impl TokenizerInput<'_> {
    fn open(self, architecture: Architecture) -> Result<Tokenizer> {
        Tokenizer::open(self.files, architecture, self.rows)
    }
}

impl TokenizerChange {
    /// The change of a model with an adapter, and its files, if others are taken; `base` is the model without the adapter. A
    /// tokenizer that is invalid has no change: what is wrong is found where it is needed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn of(
        base: TokenizerInput<'_>,
        merged: TokenizerInput<'_>,
        architecture: Architecture,
    ) -> Result<(Self, Option<ModelFiles>)> {
        match Self::of_valid(base, merged, architecture) {
            Err(error @ (Error::Read { .. } | Error::Cancelled)) => Err(error),
            change => Ok(change.unwrap_or_default()),
        }
    }

    fn of_valid(
        base: TokenizerInput<'_>,
        merged: TokenizerInput<'_>,
        architecture: Architecture,
    ) -> Result<(Self, Option<ModelFiles>)> {
        if !has_other_tokenizer(base.files, merged.files)? {
            return Ok(Default::default());
        }
        let before = base.open(architecture)?;
        let after = match merged.open(architecture) {
            Ok(after) => after,
            Err(error @ (Error::Read { .. } | Error::Cancelled)) => return Err(error),
            Err(_) => return Self::of_incomplete(&before, merged, architecture),
        };
        let lost = LostTokens::of(&before, &after);
        // an embedding of another size is of the adapter's vocabulary
        if lost.is_some() && merged.rows.resized.is_none() && !has_own_tokens(&before, &after) {
            let files = merged.files.with_base_vocabulary()?;
            let mended = TokenizerInput { files: &files, ..merged }.open(architecture)?;
            if LostTokens::of(&before, &mended).is_none() {
                let special = special_tokens(&before, &mended);
                return Ok((Self { lost, is_mended: true, special }, Some(files)));
            }
        }
        Ok((Self { lost, is_mended: false, special: special_tokens(&before, &after) }, None))
    }

    /// The change by files of which no tokenizer can be made. Where they list nothing but tokens of the base, the base's vocabulary is
    /// taken instead.
    fn of_incomplete(
        before: &Tokenizer,
        merged: TokenizerInput<'_>,
        architecture: Architecture,
    ) -> Result<(Self, Option<ModelFiles>)> {
        let files = merged.files;
        let (None, Some(json), None) =
            (files.read("tokenizer.model")?, files.read("tokenizer.json")?, merged.rows.resized)
        else {
            return Ok(Default::default());
        };
        // a vocabulary has the texts of added tokens, in which a space is no ▁
        let text = |piece: &str| piece.replace('\u{2581}', " ");
        let numbered = |(id, piece): &(u32, Cow<'_, str>)| (*id as usize, text(piece));
        let ListedTokens { pieces, added } = ListedTokens::read(&json)?;
        let matched: HashSet<(usize, String)> = added.iter().map(numbered).collect();
        let listed: HashSet<(usize, String)> = pieces.iter().chain(&added).map(numbered).collect();
        let tokens: Vec<String> = before.vocabulary.tokens.iter().map(|token| text(token)).collect();
        let is_of_base = |(id, text): &(usize, String)| {
            text.starts_with("<unused") || tokens.get(*id).is_some_and(|token| token == text)
        };
        if !listed.iter().all(is_of_base) {
            return Ok(Default::default());
        }
        let mended = files.with_base_vocabulary()?;
        let after = TokenizerInput { files: &mended, ..merged }.open(architecture)?;
        if has_own_tokens(before, &after) {
            return Ok(Default::default());
        }
        let is_kept = |id: usize| {
            let kept = if is_matched(before, id) { &matched } else { &listed };
            kept.contains(&(id, tokens[id].clone()))
        };
        let lost = LostTokens::unless_kept(before, is_kept);
        Ok((Self { lost, is_mended: true, special: special_tokens(before, &after) }, Some(mended)))
    }
}

impl LostTokens {
    /// `None` if nothing is lost. A token for a use of one's own takes the place of one that is unused.
    fn of(before: &Tokenizer, after: &Tokenizer) -> Option<Self> {
        Self::unless_kept(before, |id| is_kept(before, after, id))
    }

    fn unless_kept(before: &Tokenizer, is_kept: impl Fn(usize) -> bool) -> Option<Self> {
        let is_lost = |id: &usize| is_used(before, *id) && !is_kept(*id);
        let lost: Vec<usize> = (0..before.vocabulary.tokens.len()).filter(is_lost).collect();
        let first = ShownToken(before, *lost.first()? as u32).to_string();
        Some(Self { count: lost.len(), first })
    }
}

fn is_used(tokenizer: &Tokenizer, id: usize) -> bool {
    let vocabulary = &tokenizer.vocabulary;
    let text = vocabulary.tokens.get(id);
    text.is_some_and(|text| !text.starts_with("<unused")) && vocabulary.types[id] != TokenType::Unused
}

/// Whether the token has the same text, and is matched in texts as a whole if it was.
fn is_kept(before: &Tokenizer, after: &Tokenizer, id: usize) -> bool {
    after.vocabulary.tokens.get(id) == before.vocabulary.tokens.get(id)
        && (!is_matched(before, id) || after.vocabulary.types[id] != TokenType::Normal)
}

/// Whether the token is found in texts before they are split into pieces.
fn is_matched(tokenizer: &Tokenizer, id: usize) -> bool {
    let kind = tokenizer.vocabulary.types.get(id);
    matches!(kind, Some(TokenType::Control | TokenType::UserDefined))
}

/// Whether there are tokens that the base has not, or has as pieces only.
fn has_own_tokens(before: &Tokenizer, after: &Tokenizer) -> bool {
    let is_own = |id: &usize| {
        let is_other = after.vocabulary.tokens.get(*id) != before.vocabulary.tokens.get(*id);
        let is_piece = before.vocabulary.types.get(*id) == Some(&TokenType::Normal);
        is_used(after, *id) && (is_other || is_matched(after, *id) && is_piece)
    };
    after.rowless.iter().any(|token| !token.is_only_named_in(&before.vocabulary))
        || (0..after.vocabulary.tokens.len()).any(|id| is_own(&id))
}

fn special_tokens(before: &Tokenizer, after: &Tokenizer) -> Vec<SpecialTokenChange> {
    let change = |kind: &'static str| {
        let (old, new) = (before.loaded_special_id(kind)?, after.loaded_special_id(kind));
        // one without a row is named as such
        let is_named = after.special_id(kind).is_none() && !after.rowless.is_empty();
        let shown = new.map(|id| ShownToken(after, id).to_string());
        let change = SpecialTokenChange { kind, before: ShownToken(before, old).to_string(), after: shown };
        (new != Some(old) && !is_named).then_some(change)
    };
    KINDS.into_iter().filter_map(change).collect()
}

/// Whether the adapter brings any file of the tokenizer that is not the base's.
fn has_other_tokenizer(base: &ModelFiles, merged: &ModelFiles) -> Result<bool> {
    for file in FILES {
        for (origin, source) in merged.inputs(file)? {
            if origin == FileOrigin::Adapter && !is_of_base(base, file, &*source)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the base has a file with the same bytes.
fn is_of_base(base: &ModelFiles, name: &str, file: &dyn Source) -> Result<bool> {
    match base.open(name)? {
        Some(other) if other.size() == file.size() => Ok(read_source(&*other)? == read_source(file)?),
        Some(_) | None => Ok(false),
    }
}
