//! What the causes of the Hub mean for an export.

use hub_client::HubCause;
use shared::domain::{FailureCode, HubRepo};

/// The code of a failure with this cause.
pub(crate) fn failure_code(cause: HubCause) -> FailureCode {
    match cause {
        HubCause::InvalidToken | HubCause::Gated | HubCause::Denied | HubCause::Disabled => {
            FailureCode::AccessDenied
        }
        HubCause::MissingRepository | HubCause::MissingRevision | HubCause::MissingFile => {
            FailureCode::NotFound
        }
        HubCause::StorageLimit | HubCause::Rejected => FailureCode::InvalidInput,
        HubCause::Conflict | HubCause::RateLimited | HubCause::Unavailable => FailureCode::Interrupted,
        HubCause::Timeout => FailureCode::Timeout,
    }
}

/// What a failed push means for the caller.
pub(crate) fn write_message(cause: HubCause, repo: &HubRepo) -> String {
    match cause {
        HubCause::InvalidToken => format!(
            "the Hugging Face Hub rejected hf_token: create a token with write access to {repo} and export again"
        ),
        HubCause::Denied | HubCause::MissingRepository | HubCause::Gated => {
            format!("hf_token has no write access to {repo}: use a token with write access and export again")
        }
        HubCause::Disabled => {
            format!(
                "the Hugging Face Hub has disabled access to {repo}: choose another repository (hf_repo_id)"
            )
        }
        HubCause::StorageLimit => format!(
            "the account of {repo} may not store more on the Hugging Face Hub: resolve that there and export again, files \
                 already written are reused"
        ),
        HubCause::Rejected => format!(
            "the Hugging Face Hub refused the content of the push to {repo}: correct what it names and export again"
        ),
        HubCause::Conflict => format!(
            "{repo} was changed by another commit during the upload: export again, files already written are reused"
        ),
        HubCause::RateLimited => format!(
            "the Hugging Face Hub limits the rate of requests for {repo}: export again in a few minutes, files already \
                 written are reused"
        ),
        HubCause::Timeout => format!(
            "the upload to {repo} on the Hugging Face Hub made no progress in time: export again, files already written \
                 are reused"
        ),
        HubCause::MissingRevision | HubCause::MissingFile | HubCause::Unavailable => format!(
            "the upload to {repo} on the Hugging Face Hub failed: export again, files already written are reused"
        ),
    }
}
