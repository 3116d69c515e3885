//! What can be wrong, as a client can tell it apart: the table of `docs/API.md`.

use axum::http::StatusCode;

/// A kind of problem: one `type` on the wire, with its status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request is wrong by itself.
    InvalidRequest,
    /// The training job is not completed.
    NotCompleted,
    /// Nobody knows who calls.
    Unauthenticated,
    /// The training job is not the caller's.
    NotOwner,
    /// There is no such training job.
    NoSuchJob,
    /// The path is not the service's.
    NoSuchPath,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is not called JSON.
    NotJson,
    /// Something on our side.
    Internal,
}

impl ProblemKind {
    /// Every kind, by status.
    pub const ALL: [Self; 11] = [
        Self::InvalidRequest,
        Self::NotCompleted,
        Self::Unauthenticated,
        Self::NotOwner,
        Self::NoSuchJob,
        Self::NoSuchPath,
        Self::MethodNotAllowed,
        Self::BodyTooSlow,
        Self::BodyTooLarge,
        Self::NotJson,
        Self::Internal,
    ];

    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid-request", "The request is not valid"),
            Self::NotCompleted => {
                (StatusCode::BAD_REQUEST, "not-completed", "The training job is not completed")
            }
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "Sign-in is required"),
            Self::NotOwner => (StatusCode::FORBIDDEN, "not-owner", "The training job is not yours"),
            Self::NoSuchJob => (StatusCode::NOT_FOUND, "no-such-job", "The training job does not exist"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no-such-path", "There is nothing here"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed")
            }
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body is too slow"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The member `type` (RFC 9457, section 3.1.1): for programs.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:export-service:problem:{}", self.row().1)
    }

    /// The member `title`: for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().2
    }
}
