//! The Hub's errors, as messages that say what to do.

use hf_hub::HFError;
use shared::domain::HubRepo;

use crate::error::JobError;

/// A use of a repository, which decides what an error means.
pub(super) enum HubOperation<'a> {
    /// Reading a base model.
    Read(&'a HubRepo),
    /// Pushing an export.
    Write(&'a HubRepo),
}

impl HubOperation<'_> {
    pub(super) fn failed(&self, error: HFError) -> JobError {
        JobError::Hub { message: self.message(&error), source: Box::new(error) }
    }

    pub(super) fn timed_out(&self) -> JobError {
        JobError::Timeout(match self {
            Self::Read(repo) => {
                format!("the Hugging Face Hub did not respond in time for {repo}: start the export again")
            }
            Self::Write(repo) => format!(
                "the upload to {repo} on the Hugging Face Hub made no progress in time: export again, files already \
                 written are reused"
            ),
        })
    }

    fn message(&self, error: &HFError) -> String {
        match self {
            Self::Read(repo) => read_message(repo, error),
            Self::Write(repo) => write_message(repo, error),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn read_message(repo: &HubRepo, error: &HFError) -> String {
    match error {
        HFError::AuthRequired { .. } | HFError::Forbidden { .. } => format!(
            "base model {repo} is gated: accept the license of {repo} on its page on the Hugging Face Hub, and use a \
             token (hf_token) with read access"
        ),
        HFError::RepoNotFound { .. } => format!(
            "base model {repo} does not exist on the Hugging Face Hub, or is private: check its name, or use a token \
             (hf_token) with read access"
        ),
        HFError::RevisionNotFound { .. } => format!(
            "base model {repo} has no such revision as the adapter's adapter_config.json names: correct `revision` there"
        ),
        HFError::RateLimited { .. } => format!(
            "the Hugging Face Hub limits the rate of requests for {repo}: start the export again in a few minutes"
        ),
        _ => format!("reading {repo} from the Hugging Face Hub failed: start the export again"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn write_message(repo: &HubRepo, error: &HFError) -> String {
    match error {
        HFError::AuthRequired { .. } => format!(
            "the Hugging Face Hub rejected hf_token: create a token with write access to {repo} and export again"
        ),
        HFError::Forbidden { .. } | HFError::RepoNotFound { .. } => {
            format!("hf_token has no write access to {repo}: use a token with write access and export again")
        }
        HFError::Conflict { .. } => format!(
            "{repo} was changed by another commit during the upload: export again, files already written are reused"
        ),
        HFError::RateLimited { .. } => format!(
            "the Hugging Face Hub limits the rate of requests for {repo}: export again in a few minutes, files already \
             written are reused"
        ),
        _ => format!(
            "the upload to {repo} on the Hugging Face Hub failed: export again, files already written are reused"
        ),
    }
}
