//! Why an export failed: a code for programs, and a message for people.

use redaction::redact;
use serde::{Deserialize, Serialize};

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The request, the training job or the model has to be changed.
    InvalidInput,
    /// The caller's token, or the service's account, lacks a permission.
    AccessDenied,
    /// A model, repository or file does not exist.
    NotFound,
    /// Something outside changed, stopped or was unavailable: exporting again may succeed.
    Interrupted,
    /// A server did not respond in time.
    Timeout,
    /// The caller cancelled the export.
    Cancelled,
    /// A fault of the service.
    Internal,
}

impl FailureCode {
    /// The name on the wire, in documents and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::AccessDenied => "access_denied",
            Self::NotFound => "not_found",
            Self::Interrupted => "interrupted",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// Whether it is no fault of the service: the caller has to change something before a repeated export can succeed, or has
    /// cancelled it.
    #[must_use]
    pub fn is_for_the_caller(self) -> bool {
        matches!(self, Self::InvalidInput | Self::AccessDenied | Self::NotFound | Self::Cancelled)
    }
}

/// Why an export failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The kind of the failure, for programs.
    pub code: FailureCode,
    /// What failed and what to do about it, for people.
    pub message: String,
}

impl Failure {
    /// A failure of that kind. Secrets are removed from the message.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: redact(&message.into()).into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_the_same_name_everywhere() {
        for code in [
            FailureCode::InvalidInput,
            FailureCode::AccessDenied,
            FailureCode::NotFound,
            FailureCode::Interrupted,
            FailureCode::Timeout,
            FailureCode::Cancelled,
            FailureCode::Internal,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
