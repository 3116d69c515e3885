//! What the causes of the Hub mean for an export.

use hub_client::HubCause;
use shared::domain::FailureCode;

/// The code of a failure with this cause.
pub(crate) fn failure_code(cause: HubCause) -> FailureCode {
    match cause {
        HubCause::InvalidToken | HubCause::Gated | HubCause::Denied | HubCause::Disabled => {
            FailureCode::AccessDenied
        }
        HubCause::MissingRepository | HubCause::MissingRevision | HubCause::MissingFile => {
            FailureCode::NotFound
        }
        HubCause::StorageLimit | HubCause::Rejected => FailureCode::InvalidInput,
        HubCause::Conflict | HubCause::RateLimited | HubCause::Unavailable => FailureCode::Interrupted,
        HubCause::Timeout => FailureCode::Timeout,
    }
}
