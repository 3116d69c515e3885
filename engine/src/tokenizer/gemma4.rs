//! Gemma 4's tokenizer: llama.cpp applies the BPE merges of `tokenizer.json`, so they are copied.

use super::added_tokens::special_texts;
use super::bpe::is_byte;
use super::tokenizer_files::TokenizerFiles;
use super::{TokenType, TokenVocabulary};
use crate::checkpoint::ModelFiles;
use crate::error::{Error, Result};

/// The converter's score of all tokens; BPE does not use scores.
const SCORE: f32 = -1000.0;

/// Tokens that chat programs must see, to separate thoughts and tool calls from answers: user-defined, not control.
const VISIBLE_TOKENS: [&str; 7] = [
    "<|channel>",
    "<channel|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|\"|>",
];

/// Reads the vocabulary and the merges.
pub(super) fn read(model: &ModelFiles, files: &TokenizerFiles<'_>) -> Result<(TokenVocabulary, Vec<String>)> {
    let json = files.json.as_ref();
    let Some((json, bpe)) = json.and_then(|json| Some((json, json.model.as_ref()?))) else {
        let what = "tokenizer.json: copy it from the base model".to_owned();
        return Err(Error::Missing { folder: model.location().to_owned(), what });
    };
    let invalid = |problem: String| Error::invalid(json.file, problem);
    let special = special_texts(files);
    let mut vocabulary = TokenVocabulary { tokens: Vec::new(), scores: Vec::new(), types: Vec::new() };
    let mut push = |id: u32, text: &str, kind: TokenType| {
        if id as usize != vocabulary.tokens.len() {
            return Err(invalid(format!("has no token with id {}", vocabulary.tokens.len())));
        }
        let kind = if VISIBLE_TOKENS.contains(&text) { TokenType::UserDefined } else { kind };
        vocabulary.tokens.push(text.to_owned());
        vocabulary.types.push(kind);
        Ok(())
    };
    let texts = bpe.texts().map_err(|what| invalid(format!("is a tokenizer {what}")))?;
    let base = texts.len();
    for (id, text) in texts {
        let kind = match text {
            text if is_byte(text) => TokenType::Byte,
            text if special.contains(text) => TokenType::Control,
            _ => TokenType::Normal,
        };
        push(id, text, kind)?;
    }
    let mut added: Vec<_> = json.added_tokens.iter().filter(|token| token.id as usize >= base).collect();
    added.sort_by_key(|token| token.id);
    for token in added {
        let is_special = special.contains(token.content.as_str());
        push(token.id, &token.content, if is_special { TokenType::Control } else { TokenType::UserDefined })?;
    }
    vocabulary.scores = vec![SCORE; vocabulary.tokens.len()];
    Ok((vocabulary, bpe.merges()))
}
