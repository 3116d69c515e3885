//! Control tokens that the tokenizer does not have.

use regex::Regex;

use super::REMEDY;
use super::probe::Probe;
use crate::check::{Finding, Severity};
use crate::tokenizer::{TextEncoder, Tokenizer};

/// Texts that are one token where they are control tokens. Other tags, such as `<think>`, may be several.
const CONTROL_TOKEN: &str =
    r"<[^<>\s]*[|\x{ff5c}][^<>\s]*>|<(?:start|end)_of_\w+>|<(?:bos|eos|pad|unk|mask)>|</?s>|<unused\d+>";

pub(super) fn check(probe: &Probe<'_>, tokenizer: &Tokenizer, encoder: &TextEncoder<'_>) -> Option<Finding> {
    let mut unknown = unknown(&probe.several, encoder);
    // these are a finding of their own
    unknown.retain(|text| !tokenizer.rowless.iter().any(|token| token.is(text)));
    if unknown.is_empty() {
        return None;
    }
    let message =
        format!("the chat template writes {}, which the tokenizer splits into pieces", unknown.join(", "));
    Some(Finding::new(Severity::Error, "template_token_unknown", message, REMEDY))
}

/// The texts that look like control tokens and are not one token.
fn unknown<'a>(text: &'a str, encoder: &TextEncoder<'_>) -> Vec<&'a str> {
    let Ok(pattern) = Regex::new(CONTROL_TOKEN) else { return Vec::new() };
    let mut unknown: Vec<&str> = pattern.find_iter(text).map(|found| found.as_str()).collect();
    unknown.retain(|text| encoder.encode(text).len() != 1);
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}
