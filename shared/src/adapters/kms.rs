//! A key of Cloud KMS, which never leaves it.
//!
//! <https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1#keymanagementservice>

use std::time::Duration;

use async_trait::async_trait;
use gcloud_sdk::{
    GoogleApi, GoogleAuthMiddleware,
    google::cloud::kms::v1::{DecryptRequest, key_management_service_client::KeyManagementServiceClient},
    proto_ext::kms::EncryptRequest,
    tonic::{Code, Request, Response, Status},
};
use tokio::{sync::OnceCell, time::timeout};

use super::google_api::{anonymous_credentials, environment_credentials, routed};
use crate::{
    config::KmsConfig,
    ports::{EncryptionKey, PortError},
};

/// The timeout of a request, with the connection.
const DEADLINE: Duration = Duration::from_secs(8);

const GOOGLE: &str = "https://cloudkms.googleapis.com";

type Client = KeyManagementServiceClient<GoogleAuthMiddleware>;

#[derive(Debug, thiserror::Error)]
enum KmsError {
    #[error("no response within {DEADLINE:?}")]
    Deadline,
    #[error("no connection to Cloud KMS")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request was rejected: {0}")]
    Rejected(#[source] Box<Status>),
}

impl From<KmsError> for PortError {
    fn from(error: KmsError) -> Self {
        let what = "Cloud KMS";
        match &error {
            KmsError::Rejected(status) if !is_transient(status.code()) => {
                Self::Failed { what, source: error.into() }
            }
            KmsError::Deadline | KmsError::Connect(_) | KmsError::Rejected(_) => {
                Self::Unavailable { what, source: error.into() }
            }
        }
    }
}

fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Internal
    )
}

/// One key, by its resource name.
pub struct KmsKey {
    settings: KmsConfig,
    client: OnceCell<GoogleApi<Client>>,
}

impl KmsKey {
    /// The configured key. It connects on first use.
    #[must_use]
    pub fn new(settings: KmsConfig) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    async fn connect(&self) -> Result<GoogleApi<Client>, KmsError> {
        let (endpoint, credentials) = match &self.settings.endpoint {
            Some(fake) => (fake.as_str(), anonymous_credentials()),
            None => (GOOGLE, environment_credentials()),
        };
        let credentials = credentials.map_err(|error| KmsError::Connect(error.into()))?;
        GoogleApi::from_function_with_credentials(
            KeyManagementServiceClient::new,
            endpoint,
            None,
            credentials,
        )
        .await
        .map_err(|error| KmsError::Connect(error.into()))
    }

    async fn call<T, R, F>(
        &self,
        message: T,
        send: impl FnOnce(Client, Request<T>) -> F,
    ) -> Result<R, PortError>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let rejected = |status| KmsError::Rejected(Box::new(status));
        let request =
            routed(message, format!("name={}", self.settings.key), "HF_TOKEN_KEY").map_err(rejected)?;
        let response = async {
            let client = self.client.get_or_try_init(|| self.connect()).await?.get();
            send(client, request).await.map_err(rejected)
        };
        let response = timeout(DEADLINE, response).await.unwrap_or(Err(KmsError::Deadline))?;
        Ok(response.into_inner())
    }
}

#[async_trait]
impl EncryptionKey for KmsKey {
    async fn encrypt(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, PortError> {
        let message = EncryptRequest {
            name: self.settings.key.clone(),
            plaintext: plaintext.to_vec().into(),
            additional_authenticated_data: context.to_vec(),
            ..EncryptRequest::default()
        };
        let response =
            self.call(message, |mut client, request| async move { client.encrypt(request).await }).await?;
        Ok(response.ciphertext)
    }

    async fn decrypt(&self, ciphertext: &[u8], context: &[u8]) -> Result<Vec<u8>, PortError> {
        let message = DecryptRequest {
            name: self.settings.key.clone(),
            ciphertext: ciphertext.to_vec(),
            additional_authenticated_data: context.to_vec(),
            ..DecryptRequest::default()
        };
        let response =
            self.call(message, |mut client, request| async move { client.decrypt(request).await }).await?;
        Ok(response.plaintext.as_sensitive_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::encryption::{self, FakeKms};

    fn key(endpoint: &str, name: &str) -> KmsKey {
        KmsKey::new(KmsConfig { key: name.to_owned(), endpoint: Some(endpoint.parse().unwrap()) })
    }

    #[tokio::test]
    async fn keys_of_cloud_kms_conform() {
        let kms = FakeKms::start().await;
        encryption::conformance(&key(&kms.endpoint(), FakeKms::KEY)).await;
        let unknown = key(&kms.endpoint(), "projects/demo/locations/x/keyRings/y/cryptoKeys/z");
        assert!(matches!(unknown.encrypt(b"x", b"y").await, Err(PortError::Failed { .. })));
    }

    #[tokio::test]
    async fn an_unreachable_kms_is_unavailable() {
        let key = key("http://127.0.0.1:9", FakeKms::KEY);
        assert!(matches!(key.encrypt(b"x", b"y").await, Err(PortError::Unavailable { .. })));
    }
}
