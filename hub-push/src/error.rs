//! Why a push fails.

use std::io;

use hf_hub::HFError;
use hub_client::{Explain, HubCause, HubError, HubResponse};
use reqwest::Url;

use crate::request::Refusal;
use crate::wording::PushWording;

/// Why a push fails. [`message`](Self::message) says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The files do not go with the repository. Nothing was pushed.
    #[error("{repo} does not take the files")]
    Refused {
        /// The repository.
        repo: String,
        /// Why.
        reason: Refusal,
    },
    /// By its role, the token may not write to the repository. Nothing was pushed.
    #[error("the token may not write to {repo}")]
    NoWriteAccess {
        /// The repository.
        repo: String,
    },
    /// The Hub refused or failed a request.
    #[error("a request for {repo} failed")]
    Hub {
        /// The repository.
        repo: String,
        /// Why.
        cause: HubCause,
        /// Where the files are, or may be, although the push failed.
        published: Published,
        /// The error of the request.
        #[source]
        source: HubError,
    },
    /// After the commit, a file on the Hub is not as it was sent.
    #[error("{file} of {repo} differs from the file that was sent")]
    Differs {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// After the commit, the repository has a file that contradicts those that were sent.
    #[error("{file} of {repo} contradicts the files that were sent")]
    LeftOver {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// A file to push cannot be read.
    #[error("cannot read {file}")]
    File {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The Hub redirects requests to another server, to which the token is not sent.
    #[error(transparent)]
    Redirected(HubError),
    /// The monitor asked to stop.
    #[error("the push was stopped")]
    Stopped,
}

/// What is known of the files of a push that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// They are not: the repository was looked at, and nothing was sent.
    NotBegun,
    /// They are not: sending them failed.
    No,
    /// They may be at this URL: the answer to a commit was lost.
    Perhaps(String),
    /// They are at this URL, but could not be checked.
    Unchecked(String),
}

impl PushError {
    /// What is wrong, and what to do, in the words of the caller.
    #[must_use]
    pub fn message(&self, wording: &PushWording) -> String {
        match self {
            Self::Refused { repo, reason } => wording.refused(repo, reason),
            Self::NoWriteAccess { repo } => wording.no_write_access(repo),
            Self::Hub { repo, cause, published, source } => {
                let mut message = match published {
                    Published::Unchecked(url) => wording.unchecked(url, *cause, source),
                    Published::NotBegun if cause.is_transient() => wording.unread(repo, source),
                    Published::NotBegun | Published::No | Published::Perhaps(_) => {
                        wording.failed(repo, *cause, source)
                    }
                };
                message.push_str(&source.quote());
                if let Published::Perhaps(url) = published {
                    let detail =
                        format!("; the answer to a commit was lost, so the files may be at {url} already");
                    message.push_str(&detail);
                }
                message
            }
            Self::Differs { repo, file } => wording.differs(repo, file),
            Self::LeftOver { repo, file } => wording.left_over(repo, file),
            Self::File { file, source } => format!("cannot read {file}: {source}"),
            Self::Redirected(error) => error.to_string(),
            Self::Stopped => self.to_string(),
        }
    }

    pub(crate) fn refused(repo: &str, reason: Refusal) -> Self {
        Self::Refused { repo: repo.to_owned(), reason }
    }

    /// Whether another commit came first.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Hub { cause: HubCause::Conflict, .. })
    }

    /// Notes that the files may be at `url`.
    pub(crate) fn perhaps_at(mut self, url: String) -> Self {
        if let Self::Hub { published: published @ (Published::NotBegun | Published::No), .. } = &mut self {
            *published = Published::Perhaps(url);
        }
        self
    }
}

/// A use of a repository, which decides what an error means.
#[derive(Debug, Clone)]
pub(crate) struct HubOperation {
    repo: String,
    /// What is known of the files if it fails.
    published: Published,
}

impl HubOperation {
    /// Looking at the repository before anything is sent.
    pub(crate) fn look(repo: &str) -> Self {
        Self { repo: repo.to_owned(), published: Published::NotBegun }
    }

    pub(crate) fn push(repo: &str) -> Self {
        Self { repo: repo.to_owned(), published: Published::No }
    }

    /// The check of what was pushed, at `url`.
    pub(crate) fn check(repo: &str, url: String) -> Self {
        Self { repo: repo.to_owned(), published: Published::Unchecked(url) }
    }

    pub(crate) fn failed(&self, error: HubError) -> PushError {
        if matches!(error, HubError::Stopped) {
            return PushError::Stopped;
        }
        if matches!(error, HubError::Redirected(_)) {
            return PushError::Redirected(error);
        }
        let published = self.published.clone();
        PushError::Hub { repo: self.repo.clone(), cause: Self::cause(&error), published, source: error }
    }

    /// The error of a small file of the repository, which was read with [`explain`].
    pub(crate) fn unreadable(&self, file: &str, error: io::Error) -> PushError {
        match error.downcast::<HubError>() {
            Ok(error) => self.failed(error),
            Err(source) => PushError::File { file: file.to_owned(), source },
        }
    }

    /// A push has a token, so the Hub rejects that token whatever it says.
    fn cause(error: &HubError) -> HubCause {
        match error.response() {
            Some(response) if response.status == 401 => HubCause::InvalidToken,
            _ => error.cause(),
        }
    }
}

/// Leaves errors of files that are read as they are.
pub(crate) fn explain() -> Explain {
    std::sync::Arc::new(|error| Box::new(error))
}

/// An error of the client that pushes, and the URL of the request if the Hub responded.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
pub(crate) fn of_client(error: HFError) -> (HubError, Option<Url>) {
    match response_of(&error) {
        Some((response, url)) => (HubError::Response(Box::new(response)), url),
        None => match error {
            HFError::InvalidParameter(_) | HFError::Url(_) => (HubError::invalid_request(error), None),
            HFError::Request { source, .. } => (source.into(), None),
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
