//! A conversation that begins with a system message.

use super::REMEDY;
use super::probe::{Probe, QUESTION};
use crate::check::{Finding, Severity};

const SYSTEM: &str = "System-5d02";

pub(super) fn check(probe: &Probe<'_>) -> Option<Finding> {
    match probe.render(&[("system", SYSTEM), ("user", QUESTION)], true) {
        Ok(text) if text.contains(SYSTEM) => None,
        Ok(_) => {
            let message = "the chat template leaves out what a system message says";
            Some(Finding::new(Severity::Warning, "system_message_dropped", message, REMEDY))
        }
        Err(problem) => {
            let message = format!("the chat template takes no system message: {problem}");
            let remedy = "put the instructions into the first question";
            Some(Finding::new(Severity::Note, "no_system_role", message, remedy))
        }
    }
}
