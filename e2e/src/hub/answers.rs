//! The Hub's error responses: status, `X-Error-Code`, `X-Error-Message` and body, and headers that ask to wait.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `X-Error-Code`.
    pub code: Option<&'static str>,
    /// `X-Error-Message`, and `error` in the body.
    pub message: &'static str,
    /// A further header.
    pub header: Option<(&'static str, &'static str)>,
}

impl Answer {
    /// A missing or private repository, without a token.
    pub const NO_CREDENTIALS: Self = Self::new(401, None, "Invalid username or password.");
    /// An unknown, expired or revoked token.
    pub const INVALID_TOKEN: Self = Self::new(401, None, "Invalid credentials in Authorization header");
    /// A missing or private repository, with a token.
    pub const NO_REPOSITORY: Self = Self::new(404, Some("RepoNotFound"), "Repository not found");
    /// A missing revision.
    pub const NO_REVISION: Self = Self::new(404, Some("RevisionNotFound"), "Invalid rev id");
    /// A missing file.
    pub const NO_ENTRY: Self = Self::new(404, Some("EntryNotFound"), "Entry not found");
    /// A gated model, without a token.
    pub const GATED: Self = Self::new(
        401,
        Some("GatedRepo"),
        "Access to model google/gemma-3-micro is restricted. You must have access to it and be authenticated to access \
         it. Please log in.",
    );
    /// A gated model, whose license the user has not accepted.
    pub const LICENSE: Self = Self::new(
        403,
        Some("GatedRepo"),
        "Access to model google/gemma-3-micro is restricted and you are not in the authorized list. Visit \
         https://huggingface.co/google/gemma-3-micro to ask for access.",
    );
    /// A gated model, whose authors have not answered the user's request.
    pub const AWAITING_REVIEW: Self = Self::new(
        403,
        Some("GatedRepo"),
        "Your request to access model google/gemma-3-micro is awaiting a review from the repo authors.",
    );
    /// A gated model, whose authors have rejected the user's request.
    pub const REJECTED: Self = Self::new(
        403,
        Some("GatedRepo"),
        "Your request to access model google/gemma-3-micro has been rejected by the repo's authors.",
    );
    /// A gated model, and a fine-grained token.
    pub const FINE_GRAINED: Self = Self::new(
        403,
        Some("GatedRepo"),
        "Please enable access to public gated repositories in your fine-grained token settings to view this repository.",
    );
    /// A token without write access.
    pub const NO_WRITE_ACCESS: Self =
        Self::new(403, None, "Forbidden: you must use a write token to upload to a repository.");
    /// A user who may not create repositories of an organization.
    pub const NO_NAMESPACE: Self =
        Self::new(403, None, "You don't have the rights to create a model under the namespace \"lab\"");
    /// The storage of the account's private repositories is used up.
    pub const STORAGE_LIMIT: Self = Self::new(
        403,
        None,
        "Private repository storage limit reached, please upgrade your plan to increase your private storage limit.",
    );
    /// The account is held for a review.
    pub const STORAGE_PATTERNS: Self = Self::new(
        403,
        None,
        "Your storage patterns tripped our internal systems! Please contact us at website@huggingface.co so we can verify \
         your account and unlock more storage for your use-case.",
    );
    /// The account has to pay.
    pub const PAYMENT_REQUIRED: Self =
        Self::new(402, None, "Payment required: add a payment method to store more files.");
    /// The file is larger than the Hub takes.
    pub const TOO_LARGE: Self = Self::new(
        422,
        None,
        "The file is larger than the maximum file size of 50 GB. Please split it into smaller files.",
    );
    /// The secret scanner has found a token.
    pub const SECRET_FOUND: Self = Self::new(
        400,
        None,
        "Your commit was rejected because it contains secrets. Offending files: tokenizer_config.json (ref: refs/heads/main)",
    );
    /// The metadata of the model card is not valid.
    pub const INVALID_CARD: Self = Self::new(
        400,
        None,
        "Invalid metadata in README.md: \"base_model[0]\" with value \"/content/model\" is not valid.",
    );
    /// Another commit came first.
    pub const COMMIT_HAPPENED: Self =
        Self::new(412, None, "A commit has happened since. Please refresh and try again.");
    /// A repository takes one commit at a time.
    pub const COMMIT_IN_PROGRESS: Self = Self::new(
        409,
        None,
        "Another commit operation is in progress for this repository. Please try again later.",
    );
    /// A user creates one repository at a time.
    pub const CREATE_IN_PROGRESS: Self =
        Self::new(409, None, "Cannot create repo: another conflicting operation is in progress");
    /// The Hub has disabled the repository, as after a complaint about copyright.
    pub const DISABLED: Self = Self::new(403, None, "Access to this resource is disabled.");
    /// The repository exists.
    pub const REPOSITORY_EXISTS: Self = Self::new(409, None, "You already created this model repo");
    /// The quota of requests is used up, for a second more.
    pub const QUOTA: Self = Self {
        header: Some(("ratelimit", "\"api\";r=0;t=1")),
        ..Self::new(
            429,
            None,
            "We had to rate limit you, you hit the quota of 1000 api requests per 5 minutes period.",
        )
    };
    /// The same, in the other header.
    pub const RETRY_AFTER: Self = Self { header: Some(("retry-after", "1")), ..Self::QUOTA };
    /// The quota of requests is used up for long.
    pub const LONG_QUOTA: Self =
        Self { header: Some(("ratelimit", "\"resolvers\";r=0;t=295")), ..Self::QUOTA };
    /// The Hub is overloaded.
    pub const UNAVAILABLE: Self =
        Self::new(503, None, "Internal Error - We're working hard to fix this as soon as possible!");

    /// An error response without a further header.
    #[must_use]
    pub const fn new(status: u16, code: Option<&'static str>, message: &'static str) -> Self {
        Self { status, code, message, header: None }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        let mut set =
            |name, value| headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        set("x-error-message", self.message);
        if let Some(code) = self.code {
            set("x-error-code", code);
        }
        if let Some((name, value)) = self.header {
            set(name, value);
        }
        (status, headers, Json(json!({ "error": self.message }))).into_response()
    }
}
