//! The tokenizer of base and adapter beside that of the base alone.

use super::{Finding, Severity, ShownToken};
use crate::checkpoint::FileOrigin;
use crate::error::{Error, Result};
use crate::gemma::Architecture;
use crate::io::{Source, read_source};
use crate::merge::Model;
use crate::tokenizer::{TokenType, Tokenizer, differing_pieces};

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

pub(super) fn check(
    model: &Model,
    architecture: Architecture,
    tokenizer: &Tokenizer,
) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = rowless_tokens(model, tokenizer).into_iter().collect();
    findings.extend(differing_files(model)?);
    if !has_other_tokenizer(model)? {
        return Ok(findings);
    }
    let base = Model::new(model.base());
    let before = match Tokenizer::open(base.files(), architecture, base.embedding_rows()) {
        Ok(before) => before,
        Err(error @ (Error::Read { .. } | Error::Cancelled)) => return Err(error),
        // the adapter's is a whole one
        Err(_) => return Ok(findings),
    };
    findings.extend(lost_tokens(&before, tokenizer));
    for kind in KINDS {
        let (old, new) = (before.special_id(kind), tokenizer.special_id(kind));
        // one without a row is named as such
        let is_named = new.is_none() && !tokenizer.rowless.is_empty();
        if let (Some(old), true) = (old.filter(|_| !is_named), old != new) {
            let new = new.map_or("none".to_owned(), |id| ShownToken(tokenizer, id).to_string());
            let old = ShownToken(&before, old);
            let message = format!("the adapter's {kind} token is {new}, and the base's is {old}");
            let remedy =
                "if training did not mean to change it, take tokenizer_config.json of the base model";
            findings.push(Finding::new(Severity::Warning, "special_token_differs", message, remedy));
        }
    }
    Ok(findings)
}

/// Tokens that the embedding has no row for.
fn rowless_tokens(model: &Model, tokenizer: &Tokenizer) -> Option<Finding> {
    const SHOWN: usize = 3;
    let (rows, tokens) = (model.embedding_rows().stored?, &tokenizer.rowless);
    let shown: Vec<String> = tokens.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = tokens.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let message = format!(
        "the tokenizer has tokens for which the embedding, of {rows} rows, has none: {}{more}",
        shown.join(", ")
    );
    let remedy = "save the embedding with the rows that training added (modules_to_save), or take the tokenizer files of the base model";
    (!tokens.is_empty()).then(|| Finding::new(Severity::Error, "token_without_row", message, remedy))
}

/// A `tokenizer.json` that is of another vocabulary than `tokenizer.model`.
fn differing_files(model: &Model) -> Result<Option<Finding>> {
    /// Some byte tokens are written in another way.
    const MOST_SHARE: f64 = 0.01;
    let Some((differing, pieces)) = differing_pieces(model.files())? else { return Ok(None) };
    if differing as f64 <= MOST_SHARE * pieces as f64 {
        return Ok(None);
    }
    let message = format!(
        "tokenizer.json, which transformers loads, lacks {differing} of the {pieces} pieces of tokenizer.model, which llama.cpp \
         loads, or has them under other ids"
    );
    let remedy = "save the tokenizer again with transformers, or take both files of the base model";
    Ok(Some(Finding::new(Severity::Error, "tokenizer_files_differ", message, remedy)))
}

/// Whether the adapter brings any file of the tokenizer that is not the base's.
fn has_other_tokenizer(model: &Model) -> Result<bool> {
    for file in FILES {
        for (origin, source) in model.files().inputs(file)? {
            if origin == FileOrigin::Adapter && !is_of_base(model, file, &*source)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the base has a file with the same bytes.
fn is_of_base(model: &Model, name: &str, file: &dyn Source) -> Result<bool> {
    match model.base().files(None).open(name)? {
        Some(other) if other.size() == file.size() => Ok(read_source(&*other)? == read_source(file)?),
        Some(_) | None => Ok(false),
    }
}

/// Tokens of the base that the adapter's tokenizer has not, or under another id. A token for a use of one's own takes the place of
/// one that is unused.
fn lost_tokens(before: &Tokenizer, after: &Tokenizer) -> Option<Finding> {
    let tokens = (0..).zip(before.vocabulary.tokens.iter().zip(&before.vocabulary.types));
    let is_lost = |(id, (text, kind)): &(u32, (&String, &TokenType))| {
        **kind != TokenType::Unused
            && !text.starts_with("<unused")
            && after.vocabulary.tokens.get(*id as usize) != Some(*text)
    };
    let lost: Vec<u32> = tokens.filter(is_lost).map(|(id, _)| id).collect();
    let first = lost.first()?;
    let message = format!(
        "the adapter's tokenizer lacks {} tokens of the base's, or has others under their ids; the first is {}",
        lost.len(),
        ShownToken(before, *first)
    );
    let remedy = "remove the tokenizer files from the adapter's folder: those of the base are then taken";
    Some(Finding::new(Severity::Error, "vocabulary_differs", message, remedy))
}
