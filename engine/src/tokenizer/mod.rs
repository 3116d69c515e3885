//! A tokenizer as llama.cpp wants it: tokens with scores and types, special ids, the chat template.

mod added;
mod bpe;
mod files;
mod gemma4;
mod sentencepiece;
mod special;

use crate::arch::{Architecture, Surplus};
use crate::gguf::{Metadata, Value};
use crate::model::Model;
use crate::{Error, Result};
use files::Files;
use sentencepiece::Piece;

/// llama.cpp's kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenType {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// Every id's token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vocabulary {
    pub(crate) tokens: Vec<String>,
    pub(crate) scores: Vec<f32>,
    pub(crate) types: Vec<TokenType>,
}

/// A model's tokenizer, from whichever files it came with.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    pub(crate) vocabulary: Vocabulary,
    special: special::Special,
    kind: Kind,
}

/// llama.cpp's tokenizers for Gemma.
#[derive(Debug)]
enum Kind {
    /// Joins by score.
    SentencePiece { gemma1: bool },
    /// Joins by these merges.
    Merges(Vec<String>),
}

impl Tokenizer {
    /// Reads the model's tokenizer.
    pub(crate) fn of(model: &Model, architecture: Architecture) -> Result<Self> {
        let files = Files::read(model)?;
        let config = model.base().config();
        let (vocabulary, kind) = match architecture {
            Architecture::Gemma4 | Architecture::Gemma4Assistant => {
                let (vocabulary, merges) = gemma4::read(model, &files)?;
                (vocabulary, Kind::Merges(merges))
            }
            Architecture::Gemma
            | Architecture::Gemma2
            | Architecture::Gemma3
            | Architecture::Gemma3n
            | Architecture::GemmaEmbedding => {
                let kind = Kind::SentencePiece { gemma1: architecture == Architecture::Gemma };
                (sentencepiece_vocabulary(model, &files, architecture)?, kind)
            }
        };
        let special = special::Special::of(&files, config, &special::COMMON, vocabulary.tokens.len());
        Ok(Self { vocabulary, special, kind })
    }

    /// Writes the tokenizer's keys, in the converter's order.
    pub(crate) fn write(self, out: &mut Metadata) {
        let Vocabulary { tokens, scores, types } = self.vocabulary;
        match &self.kind {
            Kind::SentencePiece { .. } => {
                out.set("tokenizer.ggml.model", "llama");
                out.set("tokenizer.ggml.pre", "default");
            }
            Kind::Merges(_) => out.set("tokenizer.ggml.model", "gemma4"),
        }
        out.set("tokenizer.ggml.tokens", Value::Strings(tokens));
        out.set("tokenizer.ggml.scores", Value::F32s(scores));
        out.set("tokenizer.ggml.token_type", Value::I32s(types.into_iter().map(|t| t as i32).collect()));
        let (gemma1, add_bos) = match self.kind {
            Kind::SentencePiece { gemma1 } => (gemma1, None),
            Kind::Merges(merges) => {
                out.set("tokenizer.ggml.merges", Value::Strings(merges));
                (false, Some(true))
            }
        };
        self.special.write(out);
        if gemma1 {
            out.set("tokenizer.ggml.eot_token_id", 107_u32);
        }
        out.set("tokenizer.ggml.add_space_prefix", false);
        if let Some(add) = add_bos {
            out.set("tokenizer.ggml.add_bos_token", add);
        }
    }
}

fn sentencepiece_vocabulary(model: &Model, files: &Files, architecture: Architecture) -> Result<Vocabulary> {
    let pieces = pieces(model, files)?;
    let size = match model.resized_vocabulary() {
        Some(rows) => Some(rows as usize),
        None => model.base().config().u32("vocab_size")?.map(|n| n as usize),
    };
    let size = size.unwrap_or(pieces.len());
    let mut vocabulary = sentencepiece::vocabulary(pieces, check_size(model, architecture, size)?);
    added::apply(files, &mut vocabulary)?;
    Ok(vocabulary)
}

/// Pieces and their ids: SentencePiece's own file, else what transformers made of it.
fn pieces(model: &Model, files: &Files) -> Result<Vec<(usize, Piece)>> {
    match (&files.sentencepiece, &files.json_file, &files.json) {
        (Some((file, bytes)), _, _) => {
            Ok(sentencepiece::read(file, bytes)?.into_iter().enumerate().collect())
        }
        (None, Some((file, bytes)), Some(json)) => bpe::read(file, bytes, json),
        (None, _, _) => {
            let what =
                "tokenizer.model and no tokenizer.json: copy one of them from the base model".to_owned();
            Err(Error::Missing { folder: model.base().location().to_owned(), what })
        }
    }
}

/// The list of tokens is as long as the embedding, but for a few thousand tokens of images and sounds where those
/// need no row; a size beyond that is a lie that would cost memory.
fn check_size(model: &Model, architecture: Architecture, size: usize) -> Result<usize> {
    const SLOTS: u64 = 4096;
    let slots = if architecture.surplus() == Surplus::Filled { SLOTS } else { 0 };
    let embedding = model.tensors().iter().find(|t| t.info.name.ends_with("embed_tokens.weight"));
    match embedding.and_then(|t| t.info.shape.first()) {
        Some(rows) if size as u64 > rows.saturating_add(slots) => {
            let problem = format!("says vocab_size is {size}, but the embedding has {rows} rows");
            Err(Error::invalid(model.base().config().file(), problem))
        }
        Some(_) | None => Ok(size),
    }
}
