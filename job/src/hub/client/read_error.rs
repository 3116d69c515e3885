//! Errors of base models that are read, as messages that say what to do.

use std::sync::Arc;

use hub_client::{Explain, HubCause, HubError};
use shared::domain::HubRepo;

use crate::error::JobError;

/// An error of reading base model `repo`.
pub(super) fn failed(repo: &HubRepo, error: HubError) -> JobError {
    match error {
        HubError::Stopped => JobError::Stopped,
        HubError::Redirected(_) => JobError::Internal(error.to_string()),
        HubError::Response(_)
        | HubError::DeadLink(_)
        | HubError::TooManyRedirects
        | HubError::Timeout
        | HubError::UnknownHost(_)
        | HubError::Connection { .. }
        | HubError::Length { .. }
        | HubError::Stalled
        | HubError::Request { .. } => explained(repo, error),
    }
}

/// The same for files that are read.
pub(super) fn explain(repo: &HubRepo) -> Explain {
    let repo = repo.clone();
    Arc::new(move |error| Box::new(failed(&repo, error)))
}

fn explained(repo: &HubRepo, error: HubError) -> JobError {
    let cause = error.cause();
    let sentence = error.response().and_then(|response| response.message.as_deref()).unwrap_or_default();
    let message = read_message(repo, &error, sentence) + &error.quote();
    let error = JobError::Hub { cause, message, wait: error.wait(), source: Box::new(error) };
    match cause {
        HubCause::InvalidToken | HubCause::Gated | HubCause::Denied => error.of_field("hf_token"),
        HubCause::MissingRepository
        | HubCause::MissingRevision
        | HubCause::MissingFile
        | HubCause::Disabled
        | HubCause::StorageLimit
        | HubCause::Rejected
        | HubCause::Conflict
        | HubCause::RateLimited
        | HubCause::Timeout
        | HubCause::Unavailable => error,
    }
}

fn read_message(repo: &HubRepo, error: &HubError, sentence: &str) -> String {
    match error.cause() {
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
        HubCause::RateLimited
        | HubCause::Timeout
        | HubCause::MissingFile
        | HubCause::Conflict
        | HubCause::Unavailable => {
            format!("base model {repo} could not be read: {}; try again in a few minutes", error.hub_state())
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
