//! What Firestore answers when it does not do as asked.

use firestore::errors::FirestoreError;
use gcloud_sdk::tonic::{Code, Status};

use crate::{
    adapters::documents::DocumentError,
    domain::Refused,
    ports::{ApplyError, PortError},
};

const WHAT: &str = "Firestore";

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within the deadline")]
    Deadline,
    #[error(transparent)]
    Client(#[from] FirestoreError),
    #[error(transparent)]
    Status(#[from] Box<Status>),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("no document of that id")]
    NoDocument,
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the answer lacks {0}")]
    Incomplete(&'static str),
}

impl Failure {
    /// Whether a transaction gave way to another one, and may run again.
    pub(super) fn is_contention(&self) -> bool {
        match self {
            Self::Client(FirestoreError::DatabaseError(error)) => error.public.code == "Aborted",
            Self::Status(status) => status.code() == Code::Aborted,
            Self::Client(_)
            | Self::Deadline
            | Self::Document(_)
            | Self::NoDocument
            | Self::Refused(_)
            | Self::Incomplete(_) => false,
        }
    }

    fn may_pass(&self) -> bool {
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

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<Failure> for PortError {
    fn from(failure: Failure) -> Self {
        if failure.may_pass() {
            Self::Unavailable { what: WHAT, source: failure.into() }
        } else {
            Self::Failed { what: WHAT, source: failure.into() }
        }
    }
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => Self::Refused(refused),
            Failure::NoDocument => Self::NoSuchExport,
            Failure::Deadline
            | Failure::Client(_)
            | Failure::Status(_)
            | Failure::Document(_)
            | Failure::Incomplete(_) => Self::Port(failure.into()),
        }
    }
}
