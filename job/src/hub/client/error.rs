//! The Hub's errors, as messages that say what to do.

use std::time::Duration;

use hf_hub::HFError;
use shared::domain::HubRepo;

use super::response::HubResponse;
use crate::{error::JobError, hub_cause::HubCause};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HubError {
    /// The Hub refused or failed it.
    #[error("{0}")]
    Response(HubResponse),
    /// The storage behind the Hub refused a link that the Hub had signed.
    #[error("{0} was returned for a link of the Hub")]
    DeadLink(u16),
    /// The Hub redirects a request again and again.
    #[error("the Hub redirected the request too often")]
    TooManyRedirects,
    /// There was no response in time.
    #[error("the Hub did not respond in time")]
    Timeout,
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// The response has another length than was asked for.
    #[error("the Hub returned {returned} bytes of {requested}")]
    Length {
        /// Bytes that were asked for.
        requested: usize,
        /// Bytes that came.
        returned: usize,
    },
    /// An upload made no progress.
    #[error("the upload made no progress in time")]
    Stalled,
    /// A file to upload could not be opened.
    #[error(transparent)]
    Read(JobError),
    /// The client failed.
    #[error(transparent)]
    Client(HFError),
    /// The job was stopped.
    #[error("the job was stopped")]
    Stopped,
}

impl HubError {
    pub(super) fn cause(&self) -> HubCause {
        match self {
            Self::Response(response) => response.cause(),
            Self::Timeout | Self::Stalled => HubCause::Timeout,
            Self::Client(HFError::InvalidParameter(_) | HFError::Url(_)) => HubCause::Rejected,
            Self::DeadLink(_)
            | Self::TooManyRedirects
            | Self::Connection(_)
            | Self::Length { .. }
            | Self::Read(_)
            | Self::Client(_)
            | Self::Stopped => HubCause::Unavailable,
        }
    }

    fn response(&self) -> Option<&HubResponse> {
        if let Self::Response(response) = self { Some(response) } else { None }
    }

    /// How long the Hub asks to wait before the next request.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.response()?.wait
    }

    /// Whether the same request may succeed later. An upload that stalls has waited long enough.
    pub(super) fn is_transient(&self) -> bool {
        !matches!(self, Self::Stopped | Self::Stalled | Self::Read(_)) && self.cause().is_transient()
    }

    /// Whether the Hub may have done what was asked for.
    pub(super) fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Stalled) || self.cause() == HubCause::Conflict || self.is_transient()
    }
}

impl From<HFError> for HubError {
    fn from(error: HFError) -> Self {
        HubResponse::of(&error).map_or(Self::Client(error), Self::Response)
    }
}

impl From<reqwest::Error> for HubError {
    /// Without the URL: that of a file can be signed.
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Connection(error.without_url()) }
    }
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
    pub(super) fn failed(&self, error: HubError) -> JobError {
        match error {
            HubError::Stopped => JobError::Stopped,
            HubError::Read(error) => error,
            HubError::Response(_)
            | HubError::DeadLink(_)
            | HubError::TooManyRedirects
            | HubError::Timeout
            | HubError::Connection(_)
            | HubError::Length { .. }
            | HubError::Stalled
            | HubError::Client(_) => self.explained(error),
        }
    }

    fn explained(&self, error: HubError) -> JobError {
        let cause = self.cause(&error);
        let sentence = error.response().and_then(|response| response.message.as_deref()).unwrap_or_default();
        let mut message = match self {
            Self::Read(repo) => read_message(repo, cause, sentence),
            Self::Write(repo) => cause.write_message(repo),
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
        | HubCause::StorageLimit
        | HubCause::Rejected
        | HubCause::Conflict
        | HubCause::Unavailable => "reading them failed",
    };
    format!(
        "the files are at {url}, but could not be checked: {reason}; export again, files already written are reused"
    )
}
