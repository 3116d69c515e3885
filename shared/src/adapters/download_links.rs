//! Download links: V4 signed URLs, so the bucket stays private.
//!
//! <https://cloud.google.com/storage/docs/access-control/signed-urls>. There is no private key on Cloud Run: Google signs
//! with `iam.serviceAccounts.signBlob`, for which the function's service account needs permission on itself. With
//! workload identity federation the signature is created in the same way.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use object_store::{
    ClientOptions, RetryConfig,
    gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder},
    path::Path,
    signer::{Method, SignedUrlOptions, Signer},
};
use tokio::time::timeout;

use super::{
    federation::{self, FederationError},
    tls,
};
use crate::{
    config,
    ports::{DOWNLOAD_LINK_LIFETIME, DownloadLinks, PortError},
};

/// The timeout for creating a link.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum SigningError {
    #[error("no signature within {DEADLINE:?}")]
    Deadline,
    #[error(transparent)]
    Store(#[from] object_store::Error),
    #[error(transparent)]
    Federation(#[from] FederationError),
}

impl From<SigningError> for PortError {
    fn from(failure: SigningError) -> Self {
        Self::Unavailable { what: "the signing service for download links", source: failure.into() }
    }
}

/// Links to the configured bucket, or to the storage emulator.
#[must_use]
pub fn links(settings: &config::DownloadsConfig) -> Arc<dyn DownloadLinks> {
    match &settings.emulator {
        Some(host) => Arc::new(EmulatorLinks::new(&settings.bucket, host)),
        None => Arc::new(SignedLinks::new(settings)),
    }
}

/// Signed links to the objects of one bucket.
pub struct SignedLinks {
    prefix: String,
    builder: GoogleCloudStorageBuilder,
    credentials: Option<PathBuf>,
    store: OnceLock<GoogleCloudStorage>,
}

impl SignedLinks {
    /// Links to the configured bucket, signed with the credentials of the environment.
    #[must_use]
    pub fn new(settings: &config::DownloadsConfig) -> Self {
        Self::with(settings, GoogleCloudStorageBuilder::from_env())
    }

    pub(super) fn with(settings: &config::DownloadsConfig, builder: GoogleCloudStorageBuilder) -> Self {
        tls::install_provider();
        let client = ClientOptions::new().with_timeout(DEADLINE).with_connect_timeout(DEADLINE);
        let retry = RetryConfig { max_retries: 1, retry_timeout: DEADLINE, ..RetryConfig::default() };
        let builder =
            builder.with_bucket_name(&settings.bucket).with_client_options(client).with_retry(retry);
        let prefix = format!("gs://{}/", settings.bucket);
        Self { prefix, builder, credentials: settings.credentials.clone(), store: OnceLock::new() }
    }

    fn store(&self) -> Result<&GoogleCloudStorage, SigningError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let account =
            self.credentials.as_deref().map(federation::external_account_credentials).transpose()?.flatten();
        let builder = self.builder.clone();
        let builder = match account {
            Some((tokens, signer)) => builder.with_credentials(tokens).with_signing_credentials(signer),
            None => builder,
        };
        let store = builder.build()?;
        Ok(self.store.get_or_init(|| store))
    }

    async fn sign(&self, object: &Path) -> Result<String, SigningError> {
        // Browsers save the file instead of displaying it.
        let disposition = ("response-content-disposition".to_owned(), "attachment".to_owned());
        let mut options = SignedUrlOptions::default();
        options.extra_query.push(disposition);
        let signing = self.store()?.signed_url_opts(Method::GET, object, DOWNLOAD_LINK_LIFETIME, &options);
        Ok(timeout(DEADLINE, signing).await.map_err(|_| SigningError::Deadline)??.into())
    }
}

#[async_trait]
impl DownloadLinks for SignedLinks {
    async fn link(&self, path: &str) -> Result<Option<String>, PortError> {
        match object_path(path, &self.prefix) {
            Some(object) => Ok(Some(self.sign(&object).await?)),
            None => Ok(None),
        }
    }
}

/// Unsigned links to the storage emulator, which does not verify signatures.
pub struct EmulatorLinks {
    base: String,
    prefix: String,
}

impl EmulatorLinks {
    /// Links to `bucket` on the emulator at `host`.
    #[must_use]
    pub fn new(bucket: &str, host: &str) -> Self {
        let host = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        Self { base: format!("{}/{bucket}/", host.trim_end_matches('/')), prefix: format!("gs://{bucket}/") }
    }
}

#[async_trait]
impl DownloadLinks for EmulatorLinks {
    async fn link(&self, path: &str) -> Result<Option<String>, PortError> {
        let Some(object) = object_path(path, &self.prefix) else { return Ok(None) };
        let mut link = url::Url::parse(&self.base)
            .map_err(|error| PortError::Failed { what: "STORAGE_EMULATOR_HOST", source: error.into() })?;
        if let Ok(mut segments) = link.path_segments_mut() {
            segments.pop_if_empty().extend(object.parts().map(|part| part.as_ref().to_owned()));
        }
        Ok(Some(link.into()))
    }
}

/// The name of the object, if the path starts with the prefix.
fn object_path(path: &str, prefix: &str) -> Option<Path> {
    let name = path.strip_prefix(prefix).filter(|name| !name.is_empty())?;
    Path::parse(name).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::testing::{TokenSigner, tokens::FIRST_KEY};

    const BUCKET: &str = "files";

    fn signed() -> SignedLinks {
        let account = json!({
            "type": "service_account", "project_id": "demo", "client_email": "get@demo.iam.gserviceaccount.com",
            "private_key": FIRST_KEY, "private_key_id": "first", "disable_oauth": false,
            "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
        });
        let builder = GoogleCloudStorageBuilder::new().with_service_account_key(account.to_string());
        let settings =
            config::DownloadsConfig { bucket: BUCKET.to_owned(), emulator: None, credentials: None };
        SignedLinks::with(&settings, builder)
    }

    /// Verifies the signature as Cloud Storage does.
    #[tokio::test]
    async fn a_link_is_signed_and_expires_after_15_minutes() {
        let link = signed().link("gs://files/job 1/model-q8_0.gguf").await.unwrap().unwrap();
        let (url, signature) = link.rsplit_once("&X-Goog-Signature=").unwrap();
        let (base, query) = url.split_once('?').unwrap();
        assert_eq!(base, "https://storage.googleapis.com/files/job%201/model-q8_0.gguf");
        let get =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap();
        assert_eq!((get("X-Goog-Expires"), get("X-Goog-SignedHeaders")), ("900", "host"));
        assert_eq!(get("response-content-disposition"), "attachment");

        let mut pairs: Vec<_> = query.split('&').collect();
        pairs.sort_unstable();
        let canonical = format!(
            "GET\n/files/job%201/model-q8_0.gguf\n{}\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD",
            pairs.join("&")
        );
        let date = get("X-Goog-Date");
        let signed = format!(
            "GOOG4-RSA-SHA256\n{date}\n{}/auto/storage/goog4_request\n{}",
            &date[..8],
            hex::encode(Sha256::digest(canonical))
        );
        let (key, signature) = (TokenSigner::first().public_key(), hex::decode(signature).unwrap());
        assert!(key.verifies(signed.as_bytes(), &signature), "{link}");
    }

    #[tokio::test]
    async fn paths_outside_the_bucket_have_no_link() {
        let emulator = EmulatorLinks::new(BUCKET, "127.0.0.1:1");
        for outside in [
            "gs://models/x",
            "gs://files",
            "gs://files/",
            "gs://files-2/x",
            "gs://files/a/../b",
            "file:///x",
            "ada/gemma",
            "",
        ] {
            assert_eq!(signed().link(outside).await.unwrap(), None, "{outside}");
            assert_eq!(emulator.link(outside).await.unwrap(), None, "{outside}");
        }
    }

    #[tokio::test]
    async fn emulator_links_are_unsigned() {
        for host in ["127.0.0.1:5000", "http://127.0.0.1:5000", "http://127.0.0.1:5000/"] {
            let link = EmulatorLinks::new(BUCKET, host).link("gs://files/job 1/a%b#.gguf").await.unwrap();
            assert_eq!(link.as_deref(), Some("http://127.0.0.1:5000/files/job%201/a%25b%23.gguf"), "{host}");
        }
    }
}
