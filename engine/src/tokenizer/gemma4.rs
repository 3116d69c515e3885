//! Gemma 4's tokenizer: llama.cpp applies the BPE merges of `tokenizer.json`, so they are copied.

use std::collections::HashSet;

use serde_json::Value;

use super::bpe::{BpeModel, is_byte};
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

/// The special tokens of the tokenizer's class, used if `tokenizer_config.json` does not set them.
const DEFAULT_SPECIAL_TOKENS: [(&str, &str); 5] = [
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// Reads the vocabulary and the merges.
pub(super) fn read(model: &ModelFiles, files: &TokenizerFiles) -> Result<(TokenVocabulary, Vec<String>)> {
    let (Some((file, bytes)), Some(json)) = (&files.json_file, &files.json) else {
        let what = "tokenizer.json: copy it from the base model".to_owned();
        return Err(Error::Missing { folder: model.location().to_owned(), what });
    };
    let invalid = |problem: String| Error::invalid(file, problem);
    let bpe = BpeModel::parse(file, bytes)?;
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

/// The texts of special tokens: the `*_token` entries and the lists of `tokenizer_config.json`.
fn special_texts(files: &TokenizerFiles) -> HashSet<String> {
    let none = serde_json::Map::new();
    let config = files.config.as_ref().unwrap_or(&none);
    let text = |value: &Value| {
        let text = value.as_str().or_else(|| value.get("content")?.as_str());
        text.map(str::to_owned)
    };
    let defaults = DEFAULT_SPECIAL_TOKENS
        .iter()
        .filter(|(key, _)| !config.contains_key(*key))
        .map(|(_, text)| (*text).to_owned());
    let named = config.iter().filter(|(key, _)| key.ends_with("_token")).filter_map(|(_, value)| text(value));
    let lists = ["extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens"];
    let listed = lists.iter().filter_map(|key| config.get(*key)).flat_map(|value| match value {
        Value::Array(list) => list.iter().filter_map(text).collect::<Vec<_>>(),
        Value::Object(named) => named.values().filter_map(text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    });
    defaults.chain(named).chain(listed).collect()
}
