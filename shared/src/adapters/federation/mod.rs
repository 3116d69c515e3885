//! Workload identity federation: a Google service account for functions outside Google Cloud. There,
//! `GOOGLE_APPLICATION_CREDENTIALS` names an external account file, which contains no secret. Google's clients (Firestore,
//! RunJob) support such files. The Cloud Storage client does not, so this module provides it with access tokens and with
//! the service account that signs links.
//!
//! <https://google.aip.dev/auth/4117>

#[cfg(test)]
mod tests;

use std::{fs, io, path::Path, sync::Arc};

use async_trait::async_trait;
use gcloud_sdk::{
    GCP_DEFAULT_SCOPES,
    google_cloud_auth::{
        build_errors,
        credentials::{AccessTokenCredentials, external_account},
    },
};
use object_store::{
    CredentialProvider, StaticCredentialProvider,
    gcp::{GcpCredential, GcpCredentialProvider, GcpSigningCredential, GcpSigningCredentialProvider},
};
use serde::Deserialize;

/// Why there is no service account.
#[derive(Debug, thiserror::Error)]
pub(super) enum FederationError {
    #[error("the file in GOOGLE_APPLICATION_CREDENTIALS cannot be read")]
    Read(#[from] io::Error),
    #[error("the file in GOOGLE_APPLICATION_CREDENTIALS is not a credentials file")]
    Parse(#[from] serde_json::Error),
    #[error("the credentials file has no service_account_impersonation_url, which is required to sign links")]
    NoAccount,
    #[error("the credentials file is invalid")]
    Build(#[from] build_errors::Error),
}

/// The fields that this module uses; Google's client uses the others.
#[derive(Deserialize)]
struct CredentialsFile {
    #[serde(rename = "type")]
    kind: String,
    service_account_impersonation_url: Option<String>,
}

/// The access tokens and the signing account of the external account in `file`. `None` for other types of credentials,
/// which the Cloud Storage client supports. No token is requested yet.
///
/// # Errors
/// If the file is missing, is not a credentials file, or has no service account.
pub(super) fn external_account_credentials(
    file: &Path,
) -> Result<Option<(GcpCredentialProvider, GcpSigningCredentialProvider)>, FederationError> {
    let text = fs::read_to_string(file)?;
    let CredentialsFile { kind, service_account_impersonation_url } = serde_json::from_str(&text)?;
    if kind != "external_account" {
        return Ok(None);
    }
    let email = service_account_impersonation_url.as_deref().and_then(email_of);
    let email = email.ok_or(FederationError::NoAccount)?.to_owned();
    let credentials = external_account::Builder::new(serde_json::from_str(&text)?)
        .with_scopes(GCP_DEFAULT_SCOPES.iter())
        .build_access_token_credentials()?;
    // Without a private key, links are signed by Google (IAM signBlob).
    let signer = GcpSigningCredential { email, private_key: None };
    Ok(Some((Arc::new(AccessTokenProvider(credentials)), Arc::new(StaticCredentialProvider::new(signer)))))
}

/// The email in `…/serviceAccounts/<email>:generateAccessToken`.
fn email_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("/serviceAccounts/")?;
    rest.strip_suffix(":generateAccessToken").filter(|email| !email.is_empty())
}

/// Access tokens from Google's client, which caches and renews them.
#[derive(Debug)]
struct AccessTokenProvider(AccessTokenCredentials);

#[async_trait]
impl CredentialProvider for AccessTokenProvider {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let token = self.0.access_token().await.map_err(|source| object_store::Error::Generic {
            store: "federation",
            source: Box::new(source),
        })?;
        Ok(Arc::new(GcpCredential { bearer: token.token }))
    }
}
