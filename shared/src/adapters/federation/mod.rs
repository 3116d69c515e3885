//! A Google account by workload identity federation. Outside Google Cloud, `GOOGLE_APPLICATION_CREDENTIALS` names a
//! file that says whom to ask for it; it holds no secret. Google's own clients read it (Firestore, RunJob); the client
//! of Cloud Storage does not, so this lends it their tokens, and the account in whose name it has links signed.
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

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub(super) enum FederationError {
    #[error("the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read")]
    Read(#[from] io::Error),
    #[error("the file that GOOGLE_APPLICATION_CREDENTIALS names is not credentials")]
    Parse(#[from] serde_json::Error),
    #[error("the credentials name no service account (service_account_impersonation_url), so none can sign")]
    NoAccount,
    #[error("the credentials cannot be used")]
    Build(#[from] build_errors::Error),
}

/// What is read of the file here; Google's client reads the rest.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    service_account_impersonation_url: Option<String>,
}

/// Tokens of the account that `file` leads to, and who signs with them. `None` where the file is of another kind,
/// which the client of Cloud Storage reads itself. Nobody is asked for a token yet.
///
/// # Errors
/// When the file is not there, is not credentials, or names no account.
pub(super) fn account(
    file: &Path,
) -> Result<Option<(GcpCredentialProvider, GcpSigningCredentialProvider)>, FederationError> {
    let text = fs::read_to_string(file)?;
    let File { kind, service_account_impersonation_url } = serde_json::from_str(&text)?;
    if kind != "external_account" {
        return Ok(None);
    }
    let email = service_account_impersonation_url.as_deref().and_then(email_in);
    let email = email.ok_or(FederationError::NoAccount)?.to_owned();
    let credentials = external_account::Builder::new(serde_json::from_str(&text)?)
        .with_scopes(GCP_DEFAULT_SCOPES.iter())
        .build_access_token_credentials()?;
    // without a key Google signs, by IAM's signBlob
    let signer = GcpSigningCredential { email, private_key: None };
    Ok(Some((Arc::new(Tokens(credentials)), Arc::new(StaticCredentialProvider::new(signer)))))
}

/// The account in `…/serviceAccounts/<e-mail>:generateAccessToken`.
fn email_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("/serviceAccounts/")?;
    rest.strip_suffix(":generateAccessToken").filter(|email| !email.is_empty())
}

/// The tokens of Google's client, which keeps and renews them.
#[derive(Debug)]
struct Tokens(AccessTokenCredentials);

#[async_trait]
impl CredentialProvider for Tokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let token = self.0.access_token().await.map_err(|source| object_store::Error::Generic {
            store: "federation",
            source: Box::new(source),
        })?;
        Ok(Arc::new(GcpCredential { bearer: token.token }))
    }
}
