//! The tokens at which programs end an answer: does the end of the model's turn belong to them?

use serde_json::Value;

use super::{Finding, Severity};
use crate::checkpoint::ModelConfig;
use crate::error::Result;
use crate::gemma::Architecture;
use crate::merge::Model;
use crate::tokenizer::{ShownToken, Tokenizer, generation_eos};

/// The tokens that llama.cpp ends an answer at by their texts, besides those that a file names (`special_eog_ids`).
const LLAMA_CPP_STOPS: [&str; 23] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "[e~[",
    "<|plamo:eos|>",
];

pub(super) fn check(
    model: &Model,
    architecture: Architecture,
    tokenizer: &Tokenizer,
    turn_end: Option<u32>,
) -> Result<Vec<Finding>> {
    let (eos, gguf_eos) = (tokenizer.loaded_special_id("eos"), tokenizer.special_id("eos"));
    let generation = match generation_eos(model.files())? {
        Some(ids) => ids,
        None => config_eos(model.base().config()),
    };
    let mut findings: Vec<Finding> = adds_eos(tokenizer).into_iter().collect();
    findings.extend(unknown_stop(tokenizer, &generation));
    if let Some(end) = turn_end {
        findings.extend(not_a_stop(architecture, tokenizer, &generation, end));
        let text = tokenizer.vocabulary.tokens[end as usize].as_str();
        if gguf_eos != Some(end) && !LLAMA_CPP_STOPS.contains(&text) {
            let message = format!(
                "a GGUF file ends no answer at {}, the end of the model's turn: its eos token is another",
                ShownToken(tokenizer, end)
            );
            let remedy = "name that token as eos_token in tokenizer_config.json";
            findings.push(Finding::new(Severity::Error, "turn_end_not_in_gguf", message, remedy));
        }
    }
    if let Some(bos) = tokenizer.loaded_special_id("bos")
        && (Some(bos) == eos || Some(bos) == turn_end)
    {
        let message =
            format!("the token {} begins conversations and ends answers", ShownToken(tokenizer, bos));
        let remedy =
            "name <bos>, with which the base model was trained, as bos_token in tokenizer_config.json";
        findings.push(Finding::new(Severity::Warning, "bos_ends_answers", message, remedy));
    }
    if let Some(pad) = tokenizer.loaded_special_id("pad")
        && (Some(pad) == eos || Some(pad) == turn_end)
    {
        let message = format!(
            "the padding token {} also ends an answer: training leaves padding out, and may have left out that end",
            ShownToken(tokenizer, pad)
        );
        let remedy = "train with another padding token, such as <pad>, and name it as pad_token in tokenizer_config.json";
        findings.push(Finding::new(Severity::Warning, "pad_ends_answers", message, remedy));
    }
    Ok(findings)
}

/// A tokenizer that ends each text with its eos token, which transformers 5 ignores.
fn adds_eos(tokenizer: &Tokenizer) -> Option<Finding> {
    let eos = tokenizer.special_id("eos").filter(|_| tokenizer.adds_token("eos"))?;
    let message = format!(
        "a GGUF file of the model has add_eos_token: llama.cpp ends prompts with {}, and llama-cli aborts",
        ShownToken(tokenizer, eos)
    );
    let remedy = "set add_eos_token to false in tokenizer_config.json, and let the post-processor of tokenizer.json add no such token";
    Some(Finding::new(Severity::Error, "adds_eos_token", message, remedy))
}

/// A stop token that the model cannot write.
fn unknown_stop(tokenizer: &Tokenizer, generation: &[u32]) -> Option<Finding> {
    let tokens = tokenizer.vocabulary.tokens.len();
    let unknown = generation.iter().find(|id| **id as usize >= tokens)?;
    let message = format!(
        "eos_token_id has {unknown}, and the model has tokens up to {}: no answer ends there",
        tokens.saturating_sub(1)
    );
    let remedy = "take eos_token_id of generation_config.json of the base model";
    Some(Finding::new(Severity::Warning, "stop_token_unknown", message, remedy))
}

/// `eos_token_id` of `config.json`, of which transformers makes a generation config where there is none.
fn config_eos(config: &ModelConfig) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match config.field("eos_token_id").value() {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The end of a turn is not one of the tokens that transformers and vLLM stop at: the ids of the generation config, and in
/// vLLM the tokenizer's eos token.
fn not_a_stop(
    architecture: Architecture,
    tokenizer: &Tokenizer,
    generation: &[u32],
    end: u32,
) -> Option<Finding> {
    if generation.contains(&end) {
        return None;
    }
    let shown = ShownToken(tokenizer, end);
    if tokenizer.loaded_special_id("eos") == Some(end) {
        let message = format!(
            "eos_token_id in generation_config.json lacks {shown}, the end of the model's turn, which the tokenizer has as \
             eos token: generate() of transformers writes on after it, vLLM stops"
        );
        let remedy = "add it to eos_token_id in generation_config.json of the base";
        return Some(Finding::new(Severity::Note, "turn_end_not_in_generation_config", message, remedy));
    }
    // Google's own files of these families stop at <eos> only
    let is_published = matches!(architecture, Architecture::Gemma | Architecture::Gemma2);
    let severity = if is_published { Severity::Note } else { Severity::Error };
    let message = format!(
        "neither eos_token_id in generation_config.json nor the tokenizer's eos token is {shown}, the end of the model's \
         turn: programs do not stop after an answer"
    );
    let remedy =
        "add it to eos_token_id in generation_config.json, or name it as eos_token in tokenizer_config.json";
    Some(Finding::new(severity, "turn_end_not_in_stop_set", message, remedy))
}
