//! Why a chat template renders no text.

use std::error::Error;
use std::fmt;

use minijinja::ErrorKind;

/// The problem of a template with a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RenderError {
    /// The message of the template's own exception (`raise_exception`).
    Raised(String),
    /// The template has a fault, or is not supported.
    Failed(String),
}

/// Marks the error of a template's own exception.
#[derive(Debug)]
struct Exception;

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised(problem) | Self::Failed(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the template raises an exception")
    }
}

impl Error for Exception {}

impl From<minijinja::Error> for RenderError {
    fn from(error: minijinja::Error) -> Self {
        let is_exception = error.source().is_some_and(<dyn Error>::is::<Exception>);
        if is_exception { Self::Raised(problem(&error)) } else { Self::Failed(problem(&error)) }
    }
}

pub(super) fn problem(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) if error.kind() == ErrorKind::InvalidOperation => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

pub(super) fn raise_exception(message: String) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message).with_source(Exception))
}
