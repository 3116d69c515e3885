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
    Unauthenticated(#[from] Unauthenticated),
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

/// Why a caller is not known. Told apart so that a client can tell "sign in again" from "this will never work".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// No token came along.
    #[error("missing")]
    Missing,
    /// The header is not one `Bearer` token.
    #[error("not_bearer")]
    NotBearer,
    /// The token is not a JWT of the form that Firebase issues.
    #[error("malformed")]
    Malformed,
    /// It is signed with an algorithm other than RS256.
    #[error("algorithm")]
    Algorithm,
    /// The issuer has no key of that id.
    #[error("unknown_key")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("signature")]
    Signature,
    /// It was issued by somebody else, or for another project.
    #[error("wrong_project")]
    WrongProject,
    /// It names nobody.
    #[error("subject")]
    Subject,
    /// It has expired.
    #[error("expired")]
    Expired,
    /// It is from the future, or says of itself no usable time.
    #[error("not_yet_valid")]
    NotYetValid,
}
