//! Why the Hub refused or failed a request.

/// The cause of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubCause {
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
    /// The Hub has disabled the repository.
    Disabled,
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
    /// The state of the Hub that it stands for, as a clause for a message.
    pub(crate) fn hub_state(self) -> &'static str {
        if self == Self::RateLimited {
            "the Hugging Face Hub limits the rate of requests"
        } else if self == Self::Timeout {
            "the Hugging Face Hub did not respond in time"
        } else {
            "a request to the Hugging Face Hub failed"
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Unavailable)
    }
}
