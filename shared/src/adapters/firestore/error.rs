//! Errors of the Firestore adapter.

use firestore::errors::FirestoreError;
use gcloud_sdk::tonic::{Code, Status};

use crate::{
    adapters::documents::DocumentError,
    domain::TransitionError,
    ports::{ApplyError, PortError},
};

const STORE: &str = "Firestore";

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("no response within the deadline")]
    Deadline,
    #[error(transparent)]
    Client(#[from] FirestoreError),
    #[error(transparent)]
    Status(#[from] Box<Status>),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("the document does not exist")]
    NoDocument,
    #[error("{0}")]
    Refused(#[from] TransitionError),
    #[error("the response lacks {0}")]
    Incomplete(&'static str),
}

impl StoreError {
    /// Whether a write was aborted because of others at the same time and can be repeated.
    pub(super) fn is_contention(&self) -> bool {
        let of_client = matches!(self, Self::Client(FirestoreError::DatabaseError(error)) if error.public.code == "Aborted");
        of_client || self.has_code(Code::Aborted)
    }

    /// Whether a document that was to be created existed before.
    pub(super) fn is_existing(&self) -> bool {
        matches!(self, Self::Client(FirestoreError::DataConflictError(_)))
            || self.has_code(Code::AlreadyExists)
    }

    /// Whether a document was changed or deleted since it was read.
    pub(super) fn is_changed(&self) -> bool {
        self.has_code(Code::FailedPrecondition) || self.has_code(Code::NotFound)
    }

    fn has_code(&self, code: Code) -> bool {
        matches!(self, Self::Status(status) if status.code() == code)
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Deadline => true,
            Self::Client(FirestoreError::DatabaseError(error)) => error.retry_possible,
            Self::Client(error) => matches!(error, FirestoreError::NetworkError(_)),
            Self::Status(status) => {
                matches!(
                    status.code(),
                    Code::Unavailable | Code::Aborted | Code::DeadlineExceeded | Code::ResourceExhausted
                )
            }
            Self::Document(_) | Self::NoDocument | Self::Refused(_) | Self::Incomplete(_) => false,
        }
    }
}

impl From<Status> for StoreError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<StoreError> for PortError {
    fn from(failure: StoreError) -> Self {
        if failure.is_transient() {
            Self::Unavailable { what: STORE, source: failure.into() }
        } else {
            Self::Failed { what: STORE, source: failure.into() }
        }
    }
}

impl From<StoreError> for ApplyError {
    fn from(failure: StoreError) -> Self {
        match failure {
            StoreError::Refused(refused) => Self::Refused(refused),
            StoreError::NoDocument => Self::NoSuchExport,
            StoreError::Deadline
            | StoreError::Client(_)
            | StoreError::Status(_)
            | StoreError::Document(_)
            | StoreError::Incomplete(_) => Self::Port(failure.into()),
        }
    }
}
