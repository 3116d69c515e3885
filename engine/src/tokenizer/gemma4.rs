//! Gemma 4's tokenizer: llama.cpp joins by merges here, as `tokenizer.json` does, so that both are taken as they are.

use std::collections::HashSet;

use serde_json::Value;

use super::bpe;
use super::bpe::is_byte;
use super::files::TokenizerFiles;
use super::{TokenType, Vocabulary};
use crate::checkpoint::ModelFiles;
use crate::error::{Error, Result};

/// No token has a score that would mean anything.
const SCORE: f32 = -1000.0;

/// What chat programs must see to tell thoughts and tool calls from answers.
const VISIBLE: [&str; 7] = [
    "<|channel>",
    "<channel|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|\"|>",
];

/// The special tokens of the tokenizer's class, where the configuration names no others.
const SPECIAL: [(&str, &str); 5] = [
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// Reads tokens and merges.
pub(super) fn read(model: &ModelFiles, files: &TokenizerFiles) -> Result<(Vocabulary, Vec<String>)> {
    let (Some((file, bytes)), Some(json)) = (&files.json_file, &files.json) else {
        let what = "tokenizer.json: copy it from the base model".to_owned();
        return Err(Error::Missing { folder: model.location().to_owned(), what });
    };
    let broken = |problem: String| Error::invalid(file, problem);
    let bpe = bpe::BpeModel::of_gemma(file, bytes)?;
    let special = special(files);
    let mut vocabulary = Vocabulary { tokens: Vec::new(), scores: Vec::new(), types: Vec::new() };
    let mut push = |id: u32, text: &str, kind: TokenType| {
        if id as usize != vocabulary.tokens.len() {
            return Err(broken(format!("has no token {}", vocabulary.tokens.len())));
        }
        let kind = if VISIBLE.contains(&text) { TokenType::UserDefined } else { kind };
        vocabulary.tokens.push(text.to_owned());
        vocabulary.types.push(kind);
        Ok(())
    };
    let texts = bpe.texts().map_err(|what| broken(format!("is a tokenizer {what}")))?;
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

/// The texts of special tokens: those that `tokenizer_config.json` names, and those it lists.
fn special(files: &TokenizerFiles) -> HashSet<String> {
    let none = serde_json::Map::new();
    let config = files.config.as_ref().unwrap_or(&none);
    let text = |value: &Value| {
        let text = value.as_str().or_else(|| value.get("content")?.as_str());
        text.map(str::to_owned)
    };
    let defaults =
        SPECIAL.iter().filter(|(key, _)| !config.contains_key(*key)).map(|(_, text)| (*text).to_owned());
    let named = config.iter().filter(|(key, _)| key.ends_with("_token")).filter_map(|(_, value)| text(value));
    let lists = ["extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens"];
    let listed = lists.iter().filter_map(|key| config.get(*key)).flat_map(|value| match value {
        Value::Array(list) => list.iter().filter_map(text).collect::<Vec<_>>(),
        Value::Object(named) => named.values().filter_map(text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    });
    defaults.chain(named).chain(listed).collect()
}
