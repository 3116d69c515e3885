//! What programs that serve a model take for granted: a chat template that they can render, tokens at which an answer ends, a
//! vocabulary that fits the weights, and that the model learned to end an answer.

mod chat;
mod processor;
mod stop_tokens;
mod vocabulary;

use std::cmp::Reverse;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::gemma::Architecture;
use crate::merge::Model;
use crate::survival::TurnEndProbability;
use crate::tokenizer::Tokenizer;

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
    fn new(severity: Severity, code: &'static str, message: impl Into<String>, remedy: &'static str) -> Self {
        Self { code, severity, message: message.into(), remedy }
    }
}

/// Checks tokenizer, chat template, stop tokens and processor files of a model, with the adapter's files if it has one. The
/// most serious findings are the first.
///
/// # Errors
/// When the family is not supported or a file cannot be read.
pub fn check_serving(model: &Model) -> Result<Vec<Finding>> {
    let architecture = Architecture::of(model.base().config())?;
    let mut findings = processor::check(model)?;
    // a drafter has the tokenizer of the model that it drafts for
    if architecture != Architecture::Gemma4Dspark {
        findings.extend(tokenizer_findings(model, architecture)?);
    }
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(findings)
}

/// What the probability of the turn's end says: the model was not trained to end its answers.
pub fn check_turn_end(measured: &TurnEndProbability) -> Option<Finding> {
    const LIKELY: f64 = 0.5;
    let base = measured.base.map(|base| format!(", {base:.3} in the base")).unwrap_or_default();
    let message = format!(
        "after {} answers the model ends its turn with a probability of {:.3} only{base}: it goes on writing",
        measured.answers, measured.fine_tuned
    );
    let remedy =
        "train on the end of the turn too: the text of each example ends with it, and the loss includes it";
    (measured.fine_tuned < LIKELY)
        .then(|| Finding::new(Severity::Warning, "turn_end_not_learned", message, remedy))
}

fn tokenizer_findings(model: &Model, architecture: Architecture) -> Result<Vec<Finding>> {
    let tokenizer = match Tokenizer::open(model.files(), architecture, model.embedding_rows()) {
        Ok(tokenizer) => tokenizer,
        Err(error @ (Error::Read { .. } | Error::Cancelled)) => return Err(error),
        Err(error) => {
            let remedy =
                "take the tokenizer files of the base model, or save the tokenizer again with transformers";
            return Ok(vec![Finding::new(Severity::Error, "tokenizer_invalid", error.to_string(), remedy)]);
        }
    };
    let mut findings = vocabulary::check(model, architecture, &tokenizer)?;
    if architecture != Architecture::GemmaEmbedding {
        let (turn_end, of_template) = chat::check(&tokenizer);
        findings.extend(of_template);
        findings.extend(stop_tokens::check(model, architecture, &tokenizer, turn_end)?);
    }
    Ok(findings)
}

/// A token for messages: its text and id.
struct ShownToken<'a>(&'a Tokenizer, u32);

impl fmt::Display for ShownToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.vocabulary.tokens.get(self.1 as usize);
        write!(f, "{} ({})", text.map_or("no token", String::as_str), self.1)
    }
}
