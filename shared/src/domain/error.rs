//! What can go wrong for a caller. No transport in it: `api` maps these to statuses, in one place.

use super::{InvalidRequest, JobId};
use crate::ports::PortError;

/// Result of a rule.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not served. `Display` is for the caller, except [`Error::Internal`], whose source is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token, or one that is not good.
    #[error("a valid Firebase ID token is required: send `Authorization: Bearer <token>`")]
    Unauthenticated(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The request is wrong by itself.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// There is no such job.
    #[error("training job {0} does not exist")]
    NoSuchJob(JobId),
    /// The job belongs to somebody else, or to nobody.
    #[error("this training job belongs to another account")]
    NotOwner,
    /// The job is not finished.
    #[error(
        "the training job is not completed (its status is {status}): wait for it to finish, then export it"
    )]
    NotCompleted {
        /// The status it has.
        status: String,
    },
    /// Something on our side.
    #[error("internal error")]
    Internal(#[from] PortError),
}
