//! What the gRPC clients of Google's services have in common.

use std::error::Error;

use gcloud_sdk::{
    GCP_DEFAULT_SCOPES,
    google_cloud_auth::{
        build_errors::Error as CredentialsError,
        credentials::{Builder, Credentials, anonymous},
    },
};
use tonic::{Request, Status, metadata::MetadataValue};

use super::tls;

/// Connects in the background while a function starts. A failure is found again, and reported, by the first request.
pub(super) fn connect_early<E: Error + 'static>(
    connecting: impl Future<Output = Result<(), E>> + Send + 'static,
) {
    tokio::spawn(async move {
        if let Err(error) = connecting.await {
            tracing::debug!(error = &error as &dyn Error, "connecting early failed");
        }
    });
}

/// Credentials for a fake server, which requires none.
pub(super) fn anonymous_credentials() -> Result<Credentials, CredentialsError> {
    Ok(anonymous::Builder::new().build())
}

/// The credentials of the environment.
pub(super) fn environment_credentials() -> Result<Credentials, CredentialsError> {
    tls::install_provider();
    Builder::default().with_scopes(GCP_DEFAULT_SCOPES.iter()).build()
}

/// A request with the routing header, which the client library does not send. `params` contain the value of `setting`.
///
/// # Errors
/// If `params` are not a valid header value.
pub(super) fn routed<T>(message: T, params: String, setting: &str) -> Result<Request<T>, Status> {
    let routing = MetadataValue::try_from(params)
        .map_err(|_| Status::invalid_argument(format!("{setting} is not a valid header value")))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-goog-request-params", routing);
    Ok(request)
}
