//! What programs that serve a model take for granted: a chat template that they can render, tokens at which an answer ends, and
//! a vocabulary that fits the weights.

mod adapter_values;
mod chat;
mod processor;
mod stop_tokens;
mod vocabulary;

use std::cmp::Reverse;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::gemma::Architecture;
use crate::merge::Model;
use crate::peft::Adapter;
use crate::tokenizer::Tokenizer;

pub(crate) use adapter_values::AdapterValues;
pub use adapter_values::check_adapter_values;

/// The code of the finding that is measured, not read.
pub(crate) const TURN_END_NOT_LEARNED: &str = "turn_end_not_learned";

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A property of the model, which its users should know.
    Note,
    /// Likely an oversight.
    Warning,
    /// The model cannot be served as it was trained.
    Error,
}

/// Something that programs which serve the model will meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// For programs, such as `turn_end_not_in_stop_set`.
    pub code: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What is the matter.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Finding {
    pub(crate) fn new(
        severity: Severity,
        code: &'static str,
        message: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self { code, severity, message: message.into(), remedy }
    }
}

/// Checks tokenizer, chat template, stop tokens and processor files of a model, with the adapter's files if it has one. The
/// most serious findings are the first. A classifier has no turns, and so no template to check; of a family that is not known, only
/// that is found.
///
/// # Errors
/// When a file cannot be read.
pub fn check_serving(model: &Model) -> Result<Vec<Finding>> {
    let Some(architecture) = Architecture::of_checkpoint(model.base().config()) else {
        return Ok(vec![not_checked(model)]);
    };
    // a drafter has the tokenizer of the model that it drafts for
    if architecture == Architecture::Gemma4Dspark {
        return check_with_tokenizer(model, architecture, None);
    }
    match Tokenizer::open(model.files(), architecture, model.embedding_rows()) {
        Ok(tokenizer) => check_with_tokenizer(model, architecture, Some(&tokenizer)),
        Err(error @ (Error::Read { .. } | Error::Cancelled)) => Err(error),
        Err(error) => {
            let remedy =
                "take the tokenizer files of the base model, or save the tokenizer again with transformers";
            let invalid = Finding::new(Severity::Error, "tokenizer_invalid", named(&error, model), remedy);
            Ok([vec![invalid], check_with_tokenizer(model, architecture, None)?].concat())
        }
    }
}

/// A model that is merged by the names of its tensors alone.
fn not_checked(model: &Model) -> Finding {
    let config = model.base().config();
    let class = config.class().or_else(|| config.model_type()).unwrap_or("a model without architectures");
    let message = format!("tokenizer and chat template of {class} are not checked: its family is not known");
    Finding::new(
        Severity::Note,
        "family_not_checked",
        message,
        "try the merged model in the programs that are to serve it",
    )
}

/// Findings, or the one that a file of the model cannot be read as what it is.
fn or_invalid(findings: Result<Vec<Finding>>, model: &Model) -> Result<Vec<Finding>> {
    match findings {
        Err(error @ (Error::Read { .. } | Error::Cancelled)) => Err(error),
        Err(error) => {
            let remedy = "correct the file, or take the base model's";
            Ok(vec![Finding::new(Severity::Error, "settings_invalid", named(&error, model), remedy)])
        }
        findings => findings,
    }
}

/// The message of an error about the model's files, by their names in their folders: a report is the same wherever these lie.
fn named(error: &Error, model: &Model) -> String {
    let folders = [Some(model.base().location()), model.adapter().map(Adapter::location)];
    folders
        .into_iter()
        .flatten()
        .map(|folder| folder.trim_end_matches('/'))
        .fold(error.to_string(), |message, folder| {
            message.replace(&format!("{folder}/"), "").replace(&format!("{folder}: "), "")
        })
}

/// The same of a model whose tokenizer is open, if it has one.
pub(crate) fn check_with_tokenizer(
    model: &Model,
    architecture: Architecture,
    tokenizer: Option<&Tokenizer>,
) -> Result<Vec<Finding>> {
    let mut findings = or_invalid(processor::check(model), model)?;
    if let Some(tokenizer) = tokenizer {
        findings.extend(tokenizer_findings(model, architecture, tokenizer)?);
    }
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(findings)
}

fn tokenizer_findings(
    model: &Model,
    architecture: Architecture,
    tokenizer: &Tokenizer,
) -> Result<Vec<Finding>> {
    let mut findings = or_invalid(vocabulary::check(model, tokenizer), model)?;
    let has_turns = |architecture| architecture != Architecture::GemmaEmbedding;
    // a classifier has a family, and is none of its models
    if Architecture::of(model.base().config()).is_ok_and(has_turns) {
        // a section that is not an object is a finding of the processor's check
        let has_encoders = model.has_encoders().unwrap_or(false);
        let (turn_end, of_template) = chat::check(tokenizer, has_encoders);
        findings.extend(of_template);
        let of_stops = stop_tokens::check(model, architecture, tokenizer, turn_end);
        findings.extend(or_invalid(of_stops, model)?);
    }
    Ok(findings)
}
