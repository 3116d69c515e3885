//! A tokenizer as llama.cpp wants it: tokens with scores and types, special ids, the chat template.

mod added;
mod bpe;
mod files;
mod gemma4;
mod sentencepiece;
mod special;

use crate::checkpoint::{EmbeddingRows, ModelFiles};
use crate::error::{Error, Result};
use crate::gemma::{Architecture, VocabMismatch};
use crate::gguf::{GgufMetadata, MetadataValue};
use files::TokenizerFiles;
use sentencepiece::SentencePiece;

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
    special: special::SpecialTokens,
    kind: TokenizerKind,
}

/// llama.cpp's tokenizers for Gemma.
#[derive(Debug)]
enum TokenizerKind {
    /// Joins by score.
    SentencePiece { gemma1: bool },
    /// Joins by these merges.
    Merges(Vec<String>),
}

impl Tokenizer {
    /// Reads the model's tokenizer.
    pub(crate) fn of(model: &ModelFiles, architecture: Architecture, rows: EmbeddingRows) -> Result<Self> {
        let files = TokenizerFiles::read(model)?;
        let config = model.config();
        let (vocabulary, kind) = match architecture {
            Architecture::Gemma4 | Architecture::Gemma4Assistant => {
                let (vocabulary, merges) = gemma4::read(model, &files)?;
                (vocabulary, TokenizerKind::Merges(merges))
            }
            Architecture::Gemma
            | Architecture::Gemma2
            | Architecture::Gemma3
            | Architecture::Gemma3n
            | Architecture::GemmaEmbedding => {
                let kind = TokenizerKind::SentencePiece { gemma1: architecture == Architecture::Gemma };
                (sentencepiece_vocabulary(model, &files, architecture, rows)?, kind)
            }
        };
        let special = special::SpecialTokens::of(&files, config, &special::COMMON, vocabulary.tokens.len());
        Ok(Self { vocabulary, special, kind })
    }

    /// Writes the tokenizer's keys, in the converter's order.
    pub(crate) fn write(self, out: &mut GgufMetadata) {
        let Vocabulary { tokens, scores, types } = self.vocabulary;
        match &self.kind {
            TokenizerKind::SentencePiece { .. } => {
                out.set("tokenizer.ggml.model", "llama");
                out.set("tokenizer.ggml.pre", "default");
            }
            TokenizerKind::Merges(_) => out.set("tokenizer.ggml.model", "gemma4"),
        }
        out.set("tokenizer.ggml.tokens", MetadataValue::Strings(tokens));
        out.set("tokenizer.ggml.scores", MetadataValue::F32s(scores));
        out.set(
            "tokenizer.ggml.token_type",
            MetadataValue::I32s(types.into_iter().map(|t| t as i32).collect()),
        );
        let (gemma1, add_bos) = match self.kind {
            TokenizerKind::SentencePiece { gemma1 } => (gemma1, None),
            TokenizerKind::Merges(merges) => {
                out.set("tokenizer.ggml.merges", MetadataValue::Strings(merges));
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

fn sentencepiece_vocabulary(
    model: &ModelFiles,
    files: &TokenizerFiles,
    architecture: Architecture,
    rows: EmbeddingRows,
) -> Result<Vocabulary> {
    let pieces = pieces(model, files)?;
    let size = match rows.resized {
        Some(rows) => Some(rows as usize),
        None => model.config().u32("vocab_size")?.map(|n| n as usize),
    };
    let size = size.unwrap_or(pieces.len());
    let mut vocabulary = sentencepiece::vocabulary(pieces, check_size(model, architecture, rows, size)?);
    added::apply(files, &mut vocabulary)?;
    Ok(vocabulary)
}

/// Pieces and their ids: SentencePiece's own file, else what transformers made of it.
fn pieces(model: &ModelFiles, files: &TokenizerFiles) -> Result<Vec<(usize, SentencePiece)>> {
    match (&files.sentencepiece, &files.json_file, &files.json) {
        (Some((file, bytes)), _, _) => {
            Ok(sentencepiece::read(file, bytes)?.into_iter().enumerate().collect())
        }
        (None, Some((file, bytes)), Some(json)) => bpe::read(file, bytes, json),
        (None, _, _) => {
            let what =
                "tokenizer.model and no tokenizer.json: copy one of them from the base model".to_owned();
            Err(Error::Missing { folder: model.location().to_owned(), what })
        }
    }
}

/// The list of tokens is as long as the embedding, but for a few thousand tokens of images and sounds where those
/// need no row; a size beyond that is a lie that would cost memory.
fn check_size(
    model: &ModelFiles,
    architecture: Architecture,
    rows: EmbeddingRows,
    size: usize,
) -> Result<usize> {
    const SLOTS: u64 = 4096;
    let slots = if architecture.family().vocab_mismatch == VocabMismatch::ZeroPad { SLOTS } else { 0 };
    match rows.stored {
        Some(rows) if size as u64 > rows.saturating_add(slots) => {
            let problem = format!("says vocab_size is {size}, but the embedding has {rows} rows");
            Err(Error::invalid(model.config().file(), problem))
        }
        Some(_) | None => Ok(size),
    }
}
