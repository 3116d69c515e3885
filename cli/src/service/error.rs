//! Why a request to the service fails, and what to do about it.

use std::time::Duration;

use hub_client::innermost;
use indicatif::HumanDuration;
use redaction::redact;
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;

use super::session::{TOKEN_VARIABLE, variable};
use crate::failure::{Failure, FailureKind};

/// A request that failed.
pub(crate) enum ServiceError {
    /// The service refused or failed it.
    Refused(Box<Refusal>),
    /// There was no answer.
    NoAnswer { url: String, problem: String },
    /// It could not be sent.
    NotSent(Failure),
}

/// The type of the problem that a limit of the caller's is reached.
const LIMIT: &str = "too-many-exports";

/// An error response.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// How long to wait before the next request.
    pub(crate) retry_after: Option<Duration>,
    host: String,
    /// Why a token was rejected, such as `expired`.
    rejection: Option<String>,
    problem: Option<Problem>,
}

/// Problem details (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    detail: String,
    request_id: Option<String>,
}

impl ServiceError {
    /// That of an error response.
    pub(crate) async fn read(response: Response) -> Self {
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok());
        let host = response.url().host_str().unwrap_or_default().to_owned();
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let rejection = challenge.and_then(|challenge| rejection(challenge.to_str().ok()?));
        Self::Refused(Box::new(Refusal {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            host,
            rejection,
            problem: response.json().await.ok(),
        }))
    }

    /// Without the query, which is a secret in a link.
    pub(crate) fn no_answer(error: reqwest::Error) -> Self {
        let url = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let problem = if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            innermost(&error.without_url())
        };
        Self::NoAnswer { url, problem }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // the service has repeated its own requests
            Self::Refused(refusal) if refusal.is_of_kind("hub-unavailable") => false,
            Self::Refused(refusal) => {
                matches!(refusal.status.as_u16(), 408 | 429) || refusal.status.is_server_error()
            }
            Self::NoAnswer { .. } => true,
            Self::NotSent(_) => false,
        }
    }

    /// Whether the service itself says that it failed, and not what is in front of it.
    pub(crate) fn is_internal(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NoAnswer { .. } | Self::NotSent(_) => None,
        }
    }
}

/// `error_description` of the header `WWW-Authenticate` (RFC 6750), in words.
fn rejection(challenge: &str) -> Option<String> {
    let code = challenge.split_once("error_description=\"")?.1.split('"').next()?;
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_code.then(|| code.replace('_', " "))
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(refusal) => refusal.failure(),
            ServiceError::NoAnswer { url, problem } => Self::remote(format!(
                "{url} cannot be reached ({problem}): check the address and the connection, and try again"
            )),
            ServiceError::NotSent(failure) => failure,
        }
    }
}

impl Refusal {
    /// Whether that is the end of the problem's `type`.
    pub(super) fn is_of_kind(&self, kind: &str) -> bool {
        let urn = self.problem.as_ref().map(|problem| problem.kind.as_str()).unwrap_or_default();
        urn.rsplit(':').next() == Some(kind)
    }

    /// The API says which header to send, which is for programs.
    fn rejected_token(&self) -> String {
        let why = self.rejection.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let remedy = match variable(TOKEN_VARIABLE) {
            Some(_) => {
                format!(
                    "set {TOKEN_VARIABLE} to a new one, or unset it and sign in with `gemma-export login`"
                )
            }
            None => "sign in with `gemma-export login`".to_owned(),
        };
        format!("the service rejected the ID token{why}: {remedy}")
    }

    /// What to say while the request waits for its next try: a limit of the caller's in the words of the service.
    pub(super) fn while_waiting(&self) -> String {
        match &self.problem {
            Some(problem) if self.is_of_kind(LIMIT) => redact(&problem.detail).into_owned(),
            Some(_) | None => format!("the service answers {}", self.status.as_u16()),
        }
    }

    fn failure(&self) -> Failure {
        let Some(problem) = &self.problem else {
            return Failure::remote(format!(
                "{} returned status {}, which is not an answer of an Export Service: check the address, or try again",
                self.host,
                self.status.as_u16()
            ));
        };
        let mut message = match self.is_of_kind("unauthenticated") {
            true => self.rejected_token(),
            false => redact(&problem.detail).into_owned(),
        };
        // the text of a limit says when
        if let Some(wait) = self.retry_after.filter(|_| !self.is_of_kind(LIMIT)) {
            message.push_str(&format!("; try again in {}", HumanDuration(wait)));
        }
        if let (true, Some(id)) = (self.status.is_server_error(), &problem.request_id) {
            message.push_str(&format!(" (request id {id})"));
        }
        let kind = match self.status.as_u16() {
            400 if problem.kind.ends_with(":invalid-request") => FailureKind::Usage,
            400 | 404 | 422 => FailureKind::Input,
            _ => FailureKind::Remote,
        };
        Failure::new(kind, message)
    }
}
