//! Why an export fails: texts for the person who started it, and what kind of failure it is.

use std::{error::Error as _, io};

use shared::adapters::storage::StorageError;

/// Longest message in a record, in characters.
const MAX_MESSAGE_LENGTH: usize = 1_000;

/// Why an export fails. The texts name what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The export or its inputs are not valid.
    #[error("{0}")]
    InvalidInput(String),
    /// Something that the export names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Something outside changed or stopped during the export. Exporting again may succeed.
    #[error("{0}")]
    Interrupted(String),
    /// A server did not respond in time.
    #[error("{0}")]
    Timeout(String),
    /// A fault of the service.
    #[error("{0}")]
    Internal(String),
    /// The engine rejected the inputs, or could not read or write.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A document has a URL that is not valid or not of this service's buckets.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A bucket could not be read or written.
    #[error("cannot {action} {location}")]
    Bucket {
        /// The operation: read, write, list or remove.
        action: &'static str,
        /// URL of the file or folder.
        location: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The Hugging Face Hub rejected a request or failed.
    #[error("{message}")]
    Hub {
        /// What is wrong, and what to do.
        message: String,
        /// The client's error.
        #[source]
        source: Box<hf_hub::HFError>,
    },
    /// The platform stopped the job, or another execution owns the export.
    #[error("the export was stopped")]
    Stopped,
}

/// What kind of failure a [`JobError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The caller has to change the request, the training job or the model.
    InvalidInput,
    /// The caller's token, or the service's account, lacks a permission.
    AccessDenied,
    /// A model, repository or file does not exist.
    NotFound,
    /// Something outside changed, stopped or was unavailable: exporting again may succeed.
    Interrupted,
    /// A server did not respond in time.
    Timeout,
    /// A fault of the service.
    Internal,
}

impl FailureKind {
    /// The name in logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::AccessDenied => "access_denied",
            Self::NotFound => "not_found",
            Self::Interrupted => "interrupted",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::AccessDenied,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::UnexpectedEof => Self::InvalidInput,
            _ => Self::Interrupted,
        }
    }

    fn of_engine(error: &engine::Error) -> Self {
        match error {
            engine::Error::Read { source, .. } | engine::Error::Write { source, .. } => Self::of_io(source),
            engine::Error::Cancelled => Self::Interrupted,
            engine::Error::Missing { .. }
            | engine::Error::Invalid { .. }
            | engine::Error::InvalidTensor { .. }
            | engine::Error::Unsupported { .. }
            | engine::Error::UnmatchedModules { .. } => Self::InvalidInput,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    fn of_hub(error: &hf_hub::HFError) -> Self {
        use hf_hub::HFError;
        match error {
            HFError::AuthRequired { .. } | HFError::Forbidden { .. } => Self::AccessDenied,
            HFError::RepoNotFound { .. }
            | HFError::RevisionNotFound { .. }
            | HFError::EntryNotFound { .. } => Self::NotFound,
            HFError::InvalidParameter(_) | HFError::Url(_) => Self::Internal,
            _ => Self::Interrupted,
        }
    }
}

impl JobError {
    /// Names the operation and the location of an I/O error.
    pub(crate) fn bucket(action: &'static str, location: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Bucket { action, location: location.to_owned(), source }
    }

    /// One line for the record: the error and the kind of its cause, without a server's response.
    pub(crate) fn message(&self) -> String {
        let mut text = self.to_string();
        let io_error = self.source().and_then(|source| source.downcast_ref::<io::Error>());
        match io_error.map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => text.push_str(": it does not exist"),
            Some(io::ErrorKind::PermissionDenied) => {
                text.push_str(": the export job's service account has no permission for it");
            }
            Some(io::ErrorKind::UnexpectedEof) => text.push_str(": it is shorter than expected"),
            Some(_) => text.push_str(": the storage failed; start the export again"),
            None => {}
        }
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        one_line.chars().take(MAX_MESSAGE_LENGTH).collect()
    }

    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::InvalidInput(_) => FailureKind::InvalidInput,
            Self::NotFound(_) => FailureKind::NotFound,
            Self::Interrupted(_) | Self::Stopped => FailureKind::Interrupted,
            Self::Timeout(_) => FailureKind::Timeout,
            Self::Internal(_) | Self::Storage(StorageError::Unusable { .. }) => FailureKind::Internal,
            Self::Storage(StorageError::Unsupported(..) | StorageError::Malformed(_)) => {
                FailureKind::InvalidInput
            }
            Self::Engine(error) => FailureKind::of_engine(error),
            Self::Bucket { source, .. } => FailureKind::of_io(source),
            Self::Hub { source, .. } => FailureKind::of_hub(source),
        }
    }

    /// Whether the Hub has no such repository, or hides it from this token.
    pub(crate) fn is_repo_not_found(&self) -> bool {
        matches!(self, Self::Hub { source, .. } if matches!(**source, hf_hub::HFError::RepoNotFound { .. }))
    }

    /// Whether the job was stopped rather than failed.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped | Self::Engine(engine::Error::Cancelled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_has_the_kind_of_its_cause() {
        for (cause, kind) in [
            (io::ErrorKind::NotFound, FailureKind::NotFound),
            (io::ErrorKind::PermissionDenied, FailureKind::AccessDenied),
            (io::ErrorKind::TimedOut, FailureKind::Timeout),
            (io::ErrorKind::ConnectionReset, FailureKind::Interrupted),
        ] {
            assert_eq!(JobError::bucket("read", "gs://models/a")(cause.into()).kind(), kind, "{cause:?}");
            let file = "gs://models/a".to_owned();
            assert_eq!(JobError::from(engine::Error::Read { file, source: cause.into() }).kind(), kind);
        }
    }

    #[test]
    fn a_message_is_one_line_with_the_cause() {
        let error = JobError::bucket("read", "gs://models/a")(io::ErrorKind::NotFound.into());
        assert_eq!(error.message(), "cannot read gs://models/a: it does not exist");
        let long = JobError::Internal("two\nlines ".repeat(200));
        assert_eq!(long.message().chars().count(), MAX_MESSAGE_LENGTH);
        assert!(long.message().starts_with("two lines two"));
    }
}
