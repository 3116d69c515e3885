//! Content as a list of parts, in which questions about images come.

use super::REMEDY;
use super::probe::{Probe, QUESTION};
use crate::check::{Finding, Severity};
use crate::tokenizer::ContentForm;

pub(super) fn check(probe: &Probe<'_>) -> Option<Finding> {
    if !probe.takes_text() {
        return None;
    }
    let does = match probe.renderer.render(&ContentForm::Parts.conversation(&[("user", QUESTION)]), true) {
        Err(problem) => format!("fails for content that is a list of parts: {problem}"),
        Ok(text) if !text.contains(QUESTION) => "leaves out content that is a list of parts".to_owned(),
        Ok(text) if ["'type'", "\"type\""].iter().any(|key| text.contains(key)) => {
            "prints content that is a list of parts as the list, instead of its texts".to_owned()
        }
        Ok(_) => return None,
    };
    let message = format!("the chat template {does}. Questions about images come as such lists");
    Some(Finding::new(Severity::Warning, "no_content_parts", message, REMEDY))
}
