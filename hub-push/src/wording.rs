//! Messages about failed pushes, in the words of the caller.

use hub_client::{HubCause, HubError};

use crate::request::Refusal;

/// What the caller calls the things that a message tells a person to change.
#[derive(Debug, Clone, Copy)]
pub struct PushWording {
    /// The token, such as `hf_token`.
    pub token: &'static str,
    /// How to try again, such as `export again`.
    pub again: &'static str,
    /// What that does not repeat, such as `, files already written are reused`.
    pub reused: &'static str,
    /// Where the repository is named, such as `hf_repo_id`.
    pub repository: &'static str,
    /// How to ask for a public repository, such as `set hf_private to false`.
    pub public: &'static str,
    /// What to do without the Hub, such as `, or export to gcs`.
    pub instead: &'static str,
}

impl PushWording {
    /// What it means that the token may not write to `repo`.
    pub(crate) fn no_write_access(&self, repo: &str) -> String {
        let Self { token, again, .. } = self;
        format!("{token} has no write access to {repo}: use a token with write access and {again}")
    }

    /// What it means that `repo` could not be looked at for now. Nothing has been sent.
    pub(crate) fn unread(&self, repo: &str, error: &HubError) -> String {
        let state = error.hub_state();
        format!("the repository {repo} could not be looked at: {state}; try again in a few minutes")
    }

    /// What a failed push means.
    pub(crate) fn failed(&self, repo: &str, cause: HubCause, error: &HubError) -> String {
        let Self { token, again, reused, repository, .. } = self;
        match cause {
            HubCause::InvalidToken => format!(
                "the Hugging Face Hub rejected {token}: create a token with write access to {repo} and {again}"
            ),
            HubCause::Denied | HubCause::MissingRepository | HubCause::Gated => self.no_write_access(repo),
            HubCause::Disabled => format!(
                "the Hugging Face Hub has disabled access to {repo}: choose another repository ({repository})"
            ),
            HubCause::StorageLimit => format!(
                "the account of {repo} may not store more on the Hugging Face Hub: resolve that there and {again}{reused}"
            ),
            HubCause::Rejected => format!(
                "the Hugging Face Hub refused the content of the push to {repo}: correct what it names and {again}"
            ),
            HubCause::Conflict => {
                format!("{repo} was changed by another commit during the upload: {again}{reused}")
            }
            HubCause::RateLimited
            | HubCause::Timeout
            | HubCause::MissingRevision
            | HubCause::MissingFile
            | HubCause::Unavailable => {
                let state = error.hub_state();
                format!("the upload to {repo} failed: {state}; {again} in a few minutes{reused}")
            }
        }
    }

    /// What it means that the files at `url` could not be checked.
    pub(crate) fn unchecked(&self, url: &str, cause: HubCause, error: &HubError) -> String {
        let Self { token, again, reused, .. } = self;
        let reason = match cause {
            HubCause::InvalidToken => &format!("the Hugging Face Hub rejected {token}"),
            HubCause::RateLimited | HubCause::Timeout | HubCause::Unavailable => &error.hub_state(),
            HubCause::Gated
            | HubCause::MissingRepository
            | HubCause::MissingRevision
            | HubCause::MissingFile
            | HubCause::Denied
            | HubCause::Disabled
            | HubCause::StorageLimit
            | HubCause::Rejected
            | HubCause::Conflict => "reading them failed",
        };
        format!("the files are at {url}, but could not be checked: {reason}; {again}{reused}")
    }

    pub(crate) fn refused(&self, repo: &str, reason: &Refusal) -> String {
        let Self { repository, public, instead, .. } = self;
        match reason {
            Refusal::Public => format!(
                "{repo} is public, but the export asks for a private repository: make it private on the Hugging Face Hub, \
                 choose another one, or {public}"
            ),
            Refusal::FullModel(weights) => format!(
                "{repo} has the weights of a full model ({weights}), to which transformers would apply the adapter: choose \
                 another repository ({repository}), or remove the model there"
            ),
            Refusal::Mmproj { mmproj, model } => format!(
                "{repo} has {mmproj}, which llama.cpp would load with {model}: choose another repository ({repository}), or \
                 remove that file there"
            ),
            Refusal::NoXet(size) => format!(
                "the Hugging Face Hub does not offer Xet for {repo}, which files over {size} bytes need: enable Xet for the \
                 account{instead}"
            ),
        }
    }

    pub(crate) fn differs(&self, repo: &str, file: &str) -> String {
        let Self { again, reused, .. } = self;
        format!(
            "{file} of {repo} on the Hugging Face Hub differs from the file that was sent: {again}{reused}"
        )
    }

    pub(crate) fn left_over(&self, repo: &str, file: &str) -> String {
        let Self { again, reused, .. } = self;
        format!(
            "{file} of {repo} on the Hugging Face Hub contradicts the files that were sent: remove it and {again}{reused}"
        )
    }
}
