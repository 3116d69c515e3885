//! The tokenizer of base and adapter beside that of the base alone.

use super::{Finding, Severity};
use crate::error::Result;
use crate::merge::Model;
use crate::tokenizer::{
    LostTokens, RenamedToken, SpecialTokenChange, Tokenizer, TokenizerChange, difference_between_files,
};

/// Classes of transformers that make a tokenizer of their own of the vocabulary, without the normalizer and pre-tokenizer of
/// `tokenizer.json`: those that language models are saved with. A class that transformers does not know loads the file as it is.
const OTHER_CLASSES: [&str; 14] = [
    "AlbertTokenizer",
    "BartTokenizer",
    "BertTokenizer",
    "CodeLlamaTokenizer",
    "CohereTokenizer",
    "DebertaV2Tokenizer",
    "GPT2Tokenizer",
    "GPTNeoXTokenizer",
    "LlamaTokenizer",
    "Qwen2Tokenizer",
    "Qwen3_5Tokenizer",
    "RobertaTokenizer",
    "T5Tokenizer",
    "XLMRobertaTokenizer",
];

pub(super) fn check(model: &Model, tokenizer: &Tokenizer) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = rowless_tokens(model, tokenizer).into_iter().collect();
    findings.extend(renamed_tokens(tokenizer));
    findings.extend(other_class(tokenizer));
    findings.extend(differing_files(model)?);
    let TokenizerChange { lost, is_mended, special } = model.tokenizer_change();
    findings.extend(lost.iter().map(|lost| lost_tokens(lost, *is_mended)));
    for SpecialTokenChange { kind, before, after } in special {
        let after = after.as_deref().unwrap_or("none");
        let message = format!("the adapter's {kind} token is {after}, and the base's is {before}");
        let remedy = "if training did not mean to change it, take tokenizer_config.json of the base model";
        findings.push(Finding::new(Severity::Warning, "special_token_differs", message, remedy));
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

/// Added tokens that two files have under one id with different texts.
fn renamed_tokens(tokenizer: &Tokenizer) -> Option<Finding> {
    let RenamedToken { id, in_config, in_json } = tokenizer.renamed.first()?;
    let message = format!(
        "tokenizer_config.json, of which GGUF files are made, has {in_config} as {id}, and tokenizer.json, which transformers loads, {in_json}: \
         {} added tokens differ",
        tokenizer.renamed.len()
    );
    let remedy = "save the tokenizer again with transformers, or take both files of the base model";
    Some(Finding::new(Severity::Error, "added_tokens_differ", message, remedy))
}

/// A tokenizer of another family's class.
fn other_class(tokenizer: &Tokenizer) -> Option<Finding> {
    let class = tokenizer.class.as_deref()?;
    if !OTHER_CLASSES.contains(&class.strip_suffix("Fast").unwrap_or(class)) {
        return None;
    }
    let message = format!(
        "tokenizer_config.json names {class}: transformers 5 makes a tokenizer of that class, which gives texts other ids than Gemma's"
    );
    let remedy = "set tokenizer_class to GemmaTokenizer, and look at which ids the model was trained with";
    Some(Finding::new(Severity::Warning, "tokenizer_class_differs", message, remedy))
}

/// A `tokenizer.json` that gives texts other ids than `tokenizer.model`.
fn differing_files(model: &Model) -> Result<Option<Finding>> {
    let Some(difference) = difference_between_files(model.files())? else { return Ok(None) };
    let message = format!(
        "tokenizer.json, which transformers loads, gives texts other ids than tokenizer.model, which llama.cpp loads: it is a tokenizer \
         {difference}"
    );
    let remedy = "save the tokenizer again with transformers, or take both files of the base model";
    Ok(Some(Finding::new(Severity::Error, "tokenizer_files_differ", message, remedy)))
}

fn lost_tokens(LostTokens { count, first }: &LostTokens, is_mended: bool) -> Finding {
    let lost = format!(
        "the adapter's tokenizer lacks {count} of the base's tokens, or has others under their ids; the first is {first}"
    );
    if is_mended {
        let message = format!("{lost}. The base's vocabulary is taken instead");
        let remedy = "remove the tokenizer files from the adapter's folder, or save the tokenizer again with all its tokens";
        return Finding::new(Severity::Warning, "vocabulary_incomplete", message, remedy);
    }
    let remedy = "remove the tokenizer files from the adapter's folder: those of the base are then taken";
    Finding::new(Severity::Error, "vocabulary_differs", lost, remedy)
}
