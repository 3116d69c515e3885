//! The problem types that clients can distinguish: the table in `docs/API.md`.

use axum::http::StatusCode;

/// A problem type: one `type` on the wire, with its status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request is invalid.
    InvalidRequest,
    /// The training job is not completed.
    NotCompleted,
    /// The token is missing or invalid.
    Unauthenticated,
    /// App Check is required, and its token is missing or invalid.
    UnverifiedApp,
    /// The training job belongs to another user.
    NotOwner,
    /// The training job does not exist.
    NoSuchJob,
    /// The export does not exist.
    NoSuchExport,
    /// The path does not exist.
    NoSuchPath,
    /// The path does not support the method.
    MethodNotAllowed,
    /// No export is running, or the one that was named is not.
    NotRunning,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body exceeds the size limit.
    BodyTooLarge,
    /// The path and the query exceed the size limit.
    UriTooLong,
    /// `Content-Type` is not `application/json`, or the body is compressed.
    NotJson,
    /// The export would fail.
    CannotBeExported,
    /// The idempotency key was sent with another request before.
    KeyReused,
    /// The caller has as many exports as they may.
    TooManyExports,
    /// The header fields exceed the size limit, or are too many.
    HeaderTooLarge,
    /// An internal error.
    Internal,
    /// The Hugging Face Hub is not available.
    HubUnavailable,
}

impl ProblemKind {
    /// Every type, ordered by status.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::NotCompleted,
        Self::Unauthenticated,
        Self::UnverifiedApp,
        Self::NotOwner,
        Self::NoSuchJob,
        Self::NoSuchExport,
        Self::NoSuchPath,
        Self::MethodNotAllowed,
        Self::BodyTooSlow,
        Self::NotRunning,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::NotJson,
        Self::CannotBeExported,
        Self::KeyReused,
        Self::TooManyExports,
        Self::HeaderTooLarge,
        Self::Internal,
        Self::HubUnavailable,
    ];

    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid-request", "The request is not valid"),
            Self::NotCompleted => {
                (StatusCode::BAD_REQUEST, "not-completed", "The training job is not completed")
            }
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "Sign-in is required"),
            Self::UnverifiedApp => (StatusCode::UNAUTHORIZED, "unverified-app", "The app is not verified"),
            Self::NotOwner => (StatusCode::FORBIDDEN, "not-owner", "The training job is not yours"),
            Self::NoSuchJob => (StatusCode::NOT_FOUND, "no-such-job", "The training job does not exist"),
            Self::NoSuchExport => (StatusCode::NOT_FOUND, "no-such-export", "The export does not exist"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no-such-path", "The path does not exist"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed")
            }
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body is too slow"),
            Self::NotRunning => (StatusCode::CONFLICT, "not-running", "No export is running"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", "The address is too long"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON"),
            Self::CannotBeExported => {
                (StatusCode::UNPROCESSABLE_ENTITY, "cannot-be-exported", "The export would fail")
            }
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The key belongs to another request",
            ),
            Self::TooManyExports => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-exports", "You have too many exports")
            }
            Self::HeaderTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header-too-large", "The header is too large")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::HubUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "hub-unavailable", "The Hugging Face Hub is not available")
            }
        }
    }

    /// The HTTP status.
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
