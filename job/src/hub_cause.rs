//! Why the Hugging Face Hub refused or failed a request.

use shared::domain::{FailureCode, HubRepo};

/// The cause of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HubCause {
    /// The token is unknown, expired or revoked.
    InvalidToken,
    /// The model is gated, and the token has no access to it.
    Gated,
    /// The repository does not exist, or is hidden from this token.
    MissingRepository,
    /// The repository has no such revision.
    MissingRevision,
    /// The repository has no such file.
    MissingFile,
    /// The token lacks a right.
    Denied,
    /// The account may not store more, or has to pay.
    StorageLimit,
    /// The content of the request is refused.
    Rejected,
    /// Another commit came first.
    Conflict,
    /// The quota of requests is used up.
    RateLimited,
    /// There was no response in time.
    Timeout,
    /// The Hub, its storage, or the connection failed.
    Unavailable,
}

impl HubCause {
    /// Whether the same request may succeed later.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Unavailable)
    }

    pub(crate) fn code(self) -> FailureCode {
        match self {
            Self::InvalidToken | Self::Gated | Self::Denied => FailureCode::AccessDenied,
            Self::MissingRepository | Self::MissingRevision | Self::MissingFile => FailureCode::NotFound,
            Self::StorageLimit | Self::Rejected => FailureCode::InvalidInput,
            Self::Conflict | Self::RateLimited | Self::Unavailable => FailureCode::Interrupted,
            Self::Timeout => FailureCode::Timeout,
        }
    }

    /// What a failed push means for the caller.
    pub(crate) fn write_message(self, repo: &HubRepo) -> String {
        match self {
            Self::InvalidToken => format!(
                "the Hugging Face Hub rejected hf_token: create a token with write access to {repo} and export again"
            ),
            Self::Denied | Self::MissingRepository | Self::Gated => {
                format!(
                    "hf_token has no write access to {repo}: use a token with write access and export again"
                )
            }
            Self::StorageLimit => format!(
                "the account of {repo} may not store more on the Hugging Face Hub: resolve that there and export again, files \
                 already written are reused"
            ),
            Self::Rejected => format!(
                "the Hugging Face Hub refused the content of the push to {repo}: correct what it names and export again"
            ),
            Self::Conflict => format!(
                "{repo} was changed by another commit during the upload: export again, files already written are reused"
            ),
            Self::RateLimited => format!(
                "the Hugging Face Hub limits the rate of requests for {repo}: export again in a few minutes, files already \
                 written are reused"
            ),
            Self::Timeout => format!(
                "the upload to {repo} on the Hugging Face Hub made no progress in time: export again, files already written \
                 are reused"
            ),
            Self::MissingRevision | Self::MissingFile | Self::Unavailable => format!(
                "the upload to {repo} on the Hugging Face Hub failed: export again, files already written are reused"
            ),
        }
    }
}
