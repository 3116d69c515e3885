//! The error of a request with an invalid field.

/// An invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidRequest {
    /// The name of the field in the request.
    pub field: &'static str,
    /// The rule that it violates. Never contains the value, which can be a secret.
    pub reason: String,
}

impl InvalidRequest {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}
