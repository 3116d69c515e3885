//! Errors of a request, independent of HTTP: `api::Problem` maps them to statuses.

use std::time::Duration;

use super::{CallerQuotas, ExportId, InvalidRequest, JobId};

/// The result of a domain rule.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed. `Display` is the text for the caller; the source of [`Error::Internal`] is only for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is missing or invalid.
    #[error("a valid Firebase ID token is required: send `Authorization: Bearer <token>`")]
    Unauthenticated(#[from] Unauthenticated),
    /// App Check is required, and its token is missing or invalid.
    #[error("a valid App Check token of this project is required ({0}): send it as `X-Firebase-AppCheck`")]
    UnverifiedApp(Unauthenticated),
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The training job does not exist.
    #[error("training job {0} does not exist")]
    NoSuchJob(JobId),
    /// The export does not exist, or is of another training job.
    #[error("export {0} of this training job does not exist")]
    NoSuchExport(ExportId),
    /// The training job has no running export.
    #[error(
        "no export is running that could be cancelled: GET /exports/{{job_id}} has the state of the latest one"
    )]
    NotRunning,
    /// The export is completed or failed.
    #[error(
        "export {0} has ended, so it cannot be cancelled: GET /exports/{{job_id}}/history/{0} has its result"
    )]
    Ended(ExportId),
    /// The artifacts of the export are being recorded.
    #[error(
        "export {0} is about to be completed, so it cannot be cancelled: GET /exports/{{job_id}}/history/{0} has its state"
    )]
    Finishing(ExportId),
    /// The training job belongs to another user, or has no owner.
    #[error("this training job belongs to another user")]
    NotOwner,
    /// The training job is not completed.
    #[error("the training job is not completed (status: {status}): {}", remedy_of(status))]
    NotCompleted {
        /// The current status.
        status: String,
    },
    /// The export would fail.
    #[error("{message}")]
    CannotBeExported {
        /// The message that the export would have.
        message: String,
        /// The field of the request that has to be changed, if it is one.
        field: Option<&'static str>,
    },
    /// The Hugging Face Hub cannot be reached, fails, or limits the rate of requests.
    #[error("{message}")]
    HubUnavailable {
        /// What failed and what to do about it.
        message: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The key was sent with another request before.
    #[error("this Idempotency-Key was sent with another request within the last 24 hours: use a new key")]
    KeyReused,
    /// The caller has as many exports as they may.
    #[error("{0}")]
    TooManyExports(CallerQuotas),
    /// A port failed (see `ports::PortError`).
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What to do about a training job that is not completed. The Training Service defines the statuses; one that is not known here may
/// still become `completed`.
fn remedy_of(status: &str) -> &'static str {
    match status {
        "failed" | "error" | "cancelled" | "canceled" | "stopped" => {
            "it has ended without a model; train again, then export the new job"
        }
        _ => "wait until it is completed, then export it",
    }
}

/// Why authentication failed. `Display` is `error_description` of the response: a client can distinguish an expired
/// token from one that will never be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// No `Authorization` header.
    #[error("missing")]
    Missing,
    /// Not exactly one `Authorization: Bearer` header.
    #[error("not_bearer")]
    NotBearer,
    /// Not a JWT in the format that Firebase issues.
    #[error("malformed")]
    Malformed,
    /// The signature algorithm is not RS256.
    #[error("algorithm")]
    Algorithm,
    /// The issuer has no key with this id.
    #[error("unknown_key")]
    UnknownKey,
    /// The signature is invalid.
    #[error("signature")]
    Signature,
    /// The issuer or the audience is not the project.
    #[error("wrong_project")]
    WrongProject,
    /// The subject is missing or invalid.
    #[error("subject")]
    Subject,
    /// The token has expired.
    #[error("expired")]
    Expired,
    /// A time claim is in the future.
    #[error("not_yet_valid")]
    NotYetValid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_ended_without_a_model_is_not_waited_for() {
        let message = |status: &str| Error::NotCompleted { status: status.to_owned() }.to_string();
        for status in ["failed", "cancelled"] {
            assert_eq!(
                message(status),
                format!(
                    "the training job is not completed (status: {status}): it has ended without a model; train again, then export \
                     the new job"
                )
            );
        }
        for status in ["running", "queued"] {
            assert!(message(status).ends_with("wait until it is completed, then export it"), "{status}");
        }
    }
}
