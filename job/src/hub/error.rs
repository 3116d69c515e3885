//! What the Hub's refusals mean for the person who asked for the export.

use hf_hub::HFError;
use shared::domain::HubRepo;

use crate::error::JobError;

/// What was being done, and to which repository.
pub(super) enum Doing<'a> {
    Reading(&'a HubRepo),
    Writing(&'a HubRepo),
}

impl Doing<'_> {
    pub(super) fn failed(&self, error: HFError) -> JobError {
        JobError::Hub { message: self.advice(&error), source: Box::new(error) }
    }

    pub(super) fn too_slow(&self) -> JobError {
        JobError::Inputs(match self {
            Self::Reading(repo) => {
                format!("the Hugging Face Hub did not answer about {repo} in time: try again")
            }
            Self::Writing(repo) => format!(
                "the Hugging Face Hub took nothing for {repo} in time: export again, what was made is kept"
            ),
        })
    }

    fn advice(&self, error: &HFError) -> String {
        match (self, error) {
            (Self::Reading(repo), HFError::AuthRequired { .. } | HFError::Forbidden { .. }) => format!(
                "base model {repo} is gated: accept the licence of {repo} on its page on the Hugging Face Hub, and \
                 use a token (hf_token) with read access"
            ),
            (Self::Reading(repo), HFError::RepoNotFound { .. }) => format!(
                "base model {repo} is not on the Hugging Face Hub, or it is private and hf_token may not read it"
            ),
            (Self::Reading(repo), HFError::RateLimited { .. }) => {
                format!(
                    "the Hugging Face Hub has had too many requests to read {repo}: try again in a few minutes"
                )
            }
            (Self::Reading(repo), _) => {
                format!("the Hugging Face Hub did not give {repo} as it should: try again")
            }
            (Self::Writing(repo), HFError::AuthRequired { .. }) => format!(
                "the Hugging Face Hub refused hf_token: make one with write access to {repo} and export again"
            ),
            (Self::Writing(repo), HFError::Forbidden { .. } | HFError::RepoNotFound { .. }) => {
                format!(
                    "hf_token may not write to {repo}: use a token with write access to it and export again"
                )
            }
            (Self::Writing(repo), HFError::Conflict { .. }) => {
                format!(
                    "{repo} was changed by somebody else at the same time: export again, what was made is kept"
                )
            }
            (Self::Writing(repo), HFError::RateLimited { .. }) => format!(
                "the Hugging Face Hub has had too many requests for {repo}: export again in a few minutes, what was \
                 made is kept"
            ),
            (Self::Writing(repo), _) => format!(
                "the Hugging Face Hub did not take the files for {repo}: export again, what was made is kept"
            ),
        }
    }
}
