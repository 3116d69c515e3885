//! What of a file of prompts or conversations was not used.

use std::fmt;

use serde::Serialize;

/// Prompts or conversations of a file that were left out, because the chat template does not render them or they are too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many.
    pub count: usize,
    /// Where the first one is, and why it was left out.
    pub first: String,
}

impl LeftOut {
    pub(crate) fn add(left_out: &mut Option<Self>, reason: impl FnOnce() -> String) {
        left_out.get_or_insert_with(|| Self { count: 0, first: reason() }).count += 1;
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { count: 1, first } => write!(f, "1 left out: {first}"),
            Self { count, first } => write!(f, "{count} left out, the first: {first}"),
        }
    }
}
