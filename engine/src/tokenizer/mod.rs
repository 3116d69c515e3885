//! Tokenizers as GGUF metadata: tokens with scores and types, special tokens, the chat template.

mod added_tokens;
mod both_vocabularies;
mod bpe;
mod bpe_vocab;
mod chat_renderer;
mod chat_template;
mod content_form;
mod gemma4;
mod jinja_filters;
mod jinja_source;
mod loaded_tokens;
mod percent_format;
mod python_methods;
mod python_value;
mod renamed_tokens;
mod render_error;
mod rowless_tokens;
mod score_order;
mod sentencepiece;
mod special_tokens;
mod text_encoder;
mod tokenizer_change;
mod tokenizer_config;
mod tokenizer_files;
mod turn_end;

use std::fmt;

use crate::checkpoint::{EmbeddingRows, ModelFiles};
use crate::error::{Error, Result};
use crate::gemma::{Architecture, VocabMismatch};
use crate::gguf::{GgufMetadata, MetadataValue};
pub(crate) use both_vocabularies::difference_between_files;
pub(crate) use chat_renderer::{ChatRenderer, Conversation};
pub(crate) use content_form::{ContentForm, message};
pub(crate) use renamed_tokens::RenamedToken;
pub(crate) use render_error::RenderError;
pub(crate) use rowless_tokens::RowlessToken;
use sentencepiece::SentencePiece;
use special_tokens::SpecialTokens;
pub(crate) use text_encoder::TextEncoder;
pub(crate) use tokenizer_change::{LostTokens, SpecialTokenChange, TokenizerChange, TokenizerInput};
use tokenizer_files::{TokenizerBytes, TokenizerFiles};
pub(crate) use turn_end::{generation_eos, turn_end};

/// Token types (`llama_token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenType {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// The tokens by id, with scores and types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenVocabulary {
    pub(crate) tokens: Vec<String>,
    pub(crate) scores: Vec<f32>,
    pub(crate) types: Vec<TokenType>,
}

/// A model's tokenizer.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    pub(crate) vocabulary: TokenVocabulary,
    special: SpecialTokens,
    model: TokenizerModel,
    /// Tokens that the embedding has no row for.
    pub(crate) rowless: Vec<RowlessToken>,
    /// Added tokens with two texts.
    pub(crate) renamed: Vec<RenamedToken>,
    /// `tokenizer_class` of `tokenizer_config.json`: the class that transformers loads the tokenizer with.
    pub(crate) class: Option<String>,
}

/// The tokenizer models of Gemma in llama.cpp (`tokenizer.ggml.model`).
#[derive(Debug)]
enum TokenizerModel {
    /// `llama`: merges the pair with the best score.
    SentencePiece { gemma1: bool },
    /// `gemma4`: applies these BPE merges.
    Bpe(Vec<String>),
}

impl Tokenizer {
    /// Reads the tokenizer files of a model.
    pub(crate) fn open(model: &ModelFiles, architecture: Architecture, rows: EmbeddingRows) -> Result<Self> {
        let is_bpe = matches!(
            architecture,
            Architecture::Gemma4 | Architecture::Gemma4Assistant | Architecture::Gemma4Dspark
        );
        let bytes = TokenizerBytes::read(model)?;
        let files = bytes.parse(is_bpe)?;
        let (vocabulary, tokenizer_model, rowless) = match architecture {
            Architecture::Gemma4 | Architecture::Gemma4Assistant | Architecture::Gemma4Dspark => {
                let (vocabulary, merges) = gemma4::read(model, &files)?;
                let pieces = vocabulary.tokens.iter().cloned().enumerate();
                let rows = rows.stored.map_or(vocabulary.tokens.len(), |rows| rows as usize);
                let rowless = RowlessToken::of(&files, &vocabulary, pieces, rows);
                (vocabulary, TokenizerModel::Bpe(merges), rowless)
            }
            Architecture::Gemma
            | Architecture::Gemma2
            | Architecture::Gemma3
            | Architecture::Gemma3n
            | Architecture::GemmaEmbedding => {
                let tokenizer_model =
                    TokenizerModel::SentencePiece { gemma1: architecture == Architecture::Gemma };
                let (vocabulary, rowless) = sentencepiece_vocabulary(model, &files, architecture, rows)?;
                (vocabulary, tokenizer_model, rowless)
            }
        };
        let special = SpecialTokens::new(&files, model.config(), &vocabulary)?;
        let renamed = RenamedToken::of(&files);
        let class = files.config.as_ref().and_then(|config| config.fields.get("tokenizer_class")?.as_str());
        let class = class.map(str::to_owned);
        Ok(Self { vocabulary, special, model: tokenizer_model, rowless, renamed, class })
    }

    /// The id of a kind of special token, such as `eos`.
    pub(crate) fn special_id(&self, kind: &str) -> Option<u32> {
        self.special.ids().iter().find(|(known, _)| known == kind).map(|(_, id)| *id)
    }

    /// The id of a kind of special token in transformers, where a null in `tokenizer_config.json` stands for none, and
    /// `config.json` for nothing. A GGUF file has an id all the same.
    pub(crate) fn loaded_special_id(&self, kind: &str) -> Option<u32> {
        let name = format!("{kind}_token");
        self.special.loaded().iter().find(|token| token.name == name)?.id
    }

    /// Whether llama.cpp adds the token of a kind to texts.
    pub(crate) fn adds_token(&self, kind: &str) -> bool {
        self.special.adds(kind)
    }

    /// The names of the chat templates; `None` without any.
    pub(crate) fn template_names(&self) -> Option<Vec<&str>> {
        self.special.template_names()
    }

    /// The special tokens' names in templates, such as `bos_token`, and their texts.
    fn special_texts(&self) -> Vec<(String, String)> {
        let named = self.special.loaded().iter();
        named.map(|token| (token.name.clone(), token.text.clone())).collect()
    }

    /// Sets the `tokenizer.*` metadata in the converter's order.
    pub(crate) fn set_metadata(self, out: &mut GgufMetadata) {
        let TokenVocabulary { tokens, scores, types } = self.vocabulary;
        match &self.model {
            TokenizerModel::SentencePiece { .. } => {
                out.set("tokenizer.ggml.model", "llama");
                out.set("tokenizer.ggml.pre", "default");
            }
            TokenizerModel::Bpe(_) => out.set("tokenizer.ggml.model", "gemma4"),
        }
        out.set("tokenizer.ggml.tokens", MetadataValue::Strings(tokens));
        out.set("tokenizer.ggml.scores", MetadataValue::F32s(scores));
        out.set(
            "tokenizer.ggml.token_type",
            MetadataValue::I32s(types.into_iter().map(|t| t as i32).collect()),
        );
        let (gemma1, add_bos) = match self.model {
            TokenizerModel::SentencePiece { gemma1 } => (gemma1, None),
            TokenizerModel::Bpe(merges) => {
                out.set("tokenizer.ggml.merges", MetadataValue::Strings(merges));
                (false, Some(true))
            }
        };
        self.special.set_metadata(out);
        if gemma1 {
            out.set("tokenizer.ggml.eot_token_id", 107_u32);
        }
        out.set("tokenizer.ggml.add_space_prefix", false);
        if let Some(add) = add_bos {
            out.set("tokenizer.ggml.add_bos_token", add);
        }
    }
}

/// A token for messages: its text and id.
pub(crate) struct ShownToken<'a>(pub(crate) &'a Tokenizer, pub(crate) u32);

impl fmt::Display for ShownToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.vocabulary.tokens.get(self.1 as usize);
        write!(f, "{} ({})", text.map_or("no token", String::as_str), self.1)
    }
}

fn sentencepiece_vocabulary(
    model: &ModelFiles,
    files: &TokenizerFiles<'_>,
    architecture: Architecture,
    rows: EmbeddingRows,
) -> Result<(TokenVocabulary, Vec<RowlessToken>)> {
    let pieces = pieces(model, files)?;
    let size = match rows.resized {
        Some(rows) => Some(rows as usize),
        None => model.config().u32("vocab_size")?.map(|n| n as usize),
    };
    let size = size.unwrap_or(pieces.len());
    let user_defined: Vec<usize> =
        pieces.iter().filter(|(_, piece)| piece.is_user_defined).map(|(id, _)| *id).collect();
    let beyond = pieces.iter().filter(|(id, _)| *id >= size).map(|(id, piece)| (*id, piece.text.clone()));
    let beyond: Vec<_> = beyond.collect();
    let mut vocabulary = sentencepiece::vocabulary(pieces, check_size(model, architecture, rows, size)?);
    added_tokens::apply(files, &mut vocabulary);
    added_tokens::apply_user_defined(files, &user_defined, &mut vocabulary);
    let rowless = RowlessToken::of(files, &vocabulary, beyond, size);
    Ok((vocabulary, rowless))
}

/// Pieces with their ids, from `tokenizer.model`, else from `tokenizer.json`; sorted by id.
fn pieces(model: &ModelFiles, files: &TokenizerFiles<'_>) -> Result<Vec<(usize, SentencePiece)>> {
    match (files.sentencepiece, &files.json) {
        (Some(file), _) => {
            Ok(sentencepiece::parse(&file.location, &file.bytes)?.into_iter().enumerate().collect())
        }
        (None, Some(json)) => json.pieces(),
        (None, None) => {
            let what = "tokenizer.model or tokenizer.json: add the tokenizer that the model was trained with"
                .to_owned();
            Err(Error::Missing { folder: model.location().to_owned(), what })
        }
    }
}

/// Checks `size` before memory is allocated: it is the number of embedding rows, plus some thousand image and audio
/// tokens without a row in some families.
fn check_size(
    model: &ModelFiles,
    architecture: Architecture,
    rows: EmbeddingRows,
    size: usize,
) -> Result<usize> {
    const TOKENS_WITHOUT_ROW: u64 = 4096;
    let pads = architecture.family().vocab_mismatch == VocabMismatch::ZeroPad;
    let extra = if pads { TOKENS_WITHOUT_ROW } else { 0 };
    match rows.stored {
        Some(rows) if size as u64 > rows.saturating_add(extra) => {
            let problem = format!("has vocab_size {size}, but the embedding has {rows} rows");
            Err(Error::invalid(model.config().file(), problem))
        }
        Some(_) | None => Ok(size),
    }
}

#[cfg(test)]
mod tests;
