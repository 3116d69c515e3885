//! The Hub's errors, as messages that say what to do.

use std::sync::Arc;

use hf_hub::HFError;
use hub_client::{Explain, HubCause, HubError, HubResponse};
use reqwest::Url;
use shared::domain::HubRepo;

use crate::{error::JobError, hub_cause::write_message};

/// An error of the client that pushes, and the URL of the request if the Hub responded.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
pub(super) fn of_client(error: HFError) -> (HubError, Option<Url>) {
    match response_of(&error) {
        Some((response, url)) => (HubError::Response(Box::new(response)), url),
        None => match error {
            HFError::InvalidParameter(_) | HFError::Url(_) => (HubError::invalid_request(error), None),
            other => (HubError::Request { is_invalid: false, source: other.into() }, None),
        },
    }
}

/// The response that the client's error has, and the URL of its request.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn response_of(error: &HFError) -> Option<(HubResponse, Option<Url>)> {
    // the code is what the client derives from the request, if the header has none
    let (context, code) = match error {
        HFError::Http { context }
        | HFError::AuthRequired { context }
        | HFError::Forbidden { context }
        | HFError::Conflict { context }
        | HFError::RateLimited { context, .. } => (context, None),
        HFError::RepoNotFound { context, .. } => (context.as_ref()?, Some("RepoNotFound")),
        HFError::RevisionNotFound { context, .. } => (context.as_ref()?, Some("RevisionNotFound")),
        HFError::EntryNotFound { context, .. } => (context.as_ref()?, Some("EntryNotFound")),
        _ => return None,
    };
    let message = context.server_message.clone().or_else(|| HubResponse::message_in(context.body.as_bytes()));
    let code = context.error_code.as_deref().or(code);
    let mut response = HubResponse::new(context.status.as_u16(), code, message.as_deref());
    response.wait = if let HFError::RateLimited { retry_after, .. } = error { *retry_after } else { None };
    Some((response, Url::parse(&context.url).ok()))
}

/// A use of a repository, which decides what an error means.
#[derive(Debug, Clone)]
pub(super) enum HubOperation {
    /// Reading a base model.
    Read(HubRepo),
    /// Pushing an export.
    Write(HubRepo),
    /// Checking what was pushed, at that URL.
    Check(String),
}

impl HubOperation {
    /// The same for files that are read.
    pub(super) fn explain(&self) -> Explain {
        let operation = self.clone();
        Arc::new(move |error| Box::new(operation.failed(error)))
    }

    pub(super) fn failed(&self, error: HubError) -> JobError {
        match error {
            HubError::Stopped => JobError::Stopped,
            HubError::Redirected(_) => JobError::Internal(error.to_string()),
            HubError::Input(error) => match error.downcast() {
                Ok(error) => *error,
                Err(error) => JobError::Internal(error.to_string()),
            },
            HubError::Response(_)
            | HubError::DeadLink(_)
            | HubError::TooManyRedirects
            | HubError::Timeout
            | HubError::Connection(_)
            | HubError::Length { .. }
            | HubError::Stalled
            | HubError::Request { .. } => self.explained(error),
        }
    }

    fn explained(&self, error: HubError) -> JobError {
        let cause = self.cause(&error);
        let sentence = error.response().and_then(|response| response.message.as_deref()).unwrap_or_default();
        let mut message = match self {
            Self::Read(repo) => read_message(repo, cause, sentence),
            Self::Write(repo) => write_message(cause, repo),
            Self::Check(url) => check_message(url, cause),
        };
        if !sentence.is_empty() {
            message.push_str(&format!(" (the Hub: \"{sentence}\")"));
        }
        JobError::Hub { cause, message, source: Box::new(error) }
    }

    /// A push has a token, so the Hub rejects that token whatever it says.
    fn cause(&self, error: &HubError) -> HubCause {
        match (self, error) {
            (Self::Write(_) | Self::Check(_), HubError::Response(response)) if response.status == 401 => {
                HubCause::InvalidToken
            }
            _ => error.cause(),
        }
    }
}

fn read_message(repo: &HubRepo, cause: HubCause, sentence: &str) -> String {
    match cause {
        HubCause::InvalidToken => format!(
            "the Hugging Face Hub rejected hf_token while {repo} was read: it is not valid, has expired or was revoked; \
             create a new one and start the export again"
        ),
        HubCause::Gated => format!("base model {repo} is gated: {}", gated_advice(repo, sentence)),
        HubCause::MissingRepository => format!(
            "base model {repo} does not exist on the Hugging Face Hub, or is private: check its name, or use a token \
             (hf_token) with read access"
        ),
        HubCause::MissingRevision => format!(
            "base model {repo} has no such revision as the adapter's adapter_config.json names: correct `revision` there"
        ),
        HubCause::Denied => format!(
            "the Hugging Face Hub does not let hf_token read base model {repo}: use a token (hf_token) with read access"
        ),
        HubCause::Disabled => format!(
            "the Hugging Face Hub has disabled access to base model {repo}: set base_model_id to another copy of the model"
        ),
        HubCause::StorageLimit | HubCause::Rejected => format!(
            "the Hugging Face Hub refused to let base model {repo} be read: resolve what it names and export again"
        ),
        HubCause::RateLimited => format!(
            "the Hugging Face Hub limits the rate of requests for {repo}: start the export again in a few minutes"
        ),
        HubCause::Timeout => {
            format!("the Hugging Face Hub did not respond in time for {repo}: start the export again")
        }
        HubCause::MissingFile | HubCause::Conflict | HubCause::Unavailable => {
            format!("reading {repo} from the Hugging Face Hub failed: start the export again")
        }
    }
}

/// What to do about a gated model, which depends on why the Hub refuses access.
fn gated_advice(repo: &HubRepo, sentence: &str) -> String {
    if sentence.contains("awaiting") {
        "wait until its authors have accepted the request for access, and export again".to_owned()
    } else if sentence.contains("rejected") {
        "its authors have rejected the request for access; use a token (hf_token) of another account"
            .to_owned()
    } else if sentence.contains("fine-grained") {
        "let hf_token read public gated repositories, in the token's settings on the Hugging Face Hub, or use a token \
         with read access"
            .to_owned()
    } else {
        format!(
            "accept the license of {repo} on its page on the Hugging Face Hub, and use a token (hf_token) with read access"
        )
    }
}

fn check_message(url: &str, cause: HubCause) -> String {
    let reason = match cause {
        HubCause::InvalidToken => "the Hugging Face Hub rejected hf_token",
        HubCause::RateLimited => "the Hugging Face Hub limits the rate of requests",
        HubCause::Timeout => "the Hugging Face Hub did not respond in time",
        HubCause::Gated
        | HubCause::MissingRepository
        | HubCause::MissingRevision
        | HubCause::MissingFile
        | HubCause::Denied
        | HubCause::Disabled
        | HubCause::StorageLimit
        | HubCause::Rejected
        | HubCause::Conflict
        | HubCause::Unavailable => "reading them failed",
    };
    format!(
        "the files are at {url}, but could not be checked: {reason}; export again, files already written are reused"
    )
}
