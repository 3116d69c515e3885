//! The client that pushes, with a token. Retries are those of [`HubClient`], with the delays that the Hub asks for.

use std::sync::Arc;

use hf_hub::{HFClient, HFRepository, HFResult, RepoTypeModel};
use hub_client::{HubClient, HubError, HubFile};
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::{self, HubOperation, PushError};
use crate::request::{PushMonitor, parts};

/// Pushes to repositories, and looks at them before.
pub struct PushClient {
    pub(crate) requests: Arc<HubClient>,
    pub(crate) client: HFClient,
    pub(crate) monitor: Arc<dyn PushMonitor>,
}

impl PushClient {
    /// A client that sends `token`, which is also that of `requests`.
    ///
    /// # Errors
    /// [`HubError::Request`] when the endpoint is not a URL.
    pub fn new(
        requests: &Arc<HubClient>,
        token: Option<&SecretString>,
        monitor: Arc<dyn PushMonitor>,
    ) -> Result<Self, HubError> {
        let endpoint = &requests.settings().endpoint;
        let mut builder = HFClient::builder().endpoint(endpoint).cache_enabled(false).retry_max_attempts(0);
        if let Some(token) = token {
            builder = builder.token(token.expose_secret());
        }
        let client = builder.build().map_err(HubError::invalid_request)?;
        Ok(Self { requests: Arc::clone(requests), client, monitor })
    }

    pub(crate) fn repository(&self, repo: &str) -> HFRepository<RepoTypeModel> {
        let (owner, name) = parts(repo);
        self.client.model(owner, name)
    }

    /// The page of a repository.
    pub(crate) fn url_of(&self, repo: &str) -> String {
        format!("{}/{repo}", self.requests.settings().endpoint)
    }

    /// Blocks until the client's call succeeds, or fails for good.
    pub(crate) fn request<T, F>(
        &self,
        operation: &HubOperation,
        mut call: impl FnMut() -> F,
    ) -> Result<T, PushError>
    where
        F: Future<Output = HFResult<T>>,
    {
        let call = || {
            let response = tokio::time::timeout(self.requests.settings().deadline, call());
            async { self.checked(response.await.map_err(|_| HubError::Timeout)?).await }
        };
        let result = self.requests.block_on(self.requests.with_retries(call));
        result.map_err(|error| operation.failed(error))
    }

    /// The client's result. Of the Hub's headers, the client keeps `Retry-After` only, and that not always: how long to wait for
    /// the quota is asked for.
    pub(crate) async fn checked<T>(&self, result: HFResult<T>) -> Result<T, HubError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => match error::of_client(error) {
                (error, Some(url)) => Err(self.requests.with_wait(error, url).await),
                (error, None) => Err(error),
            },
        }
    }

    /// The content of a small file of a repository.
    pub(crate) fn read_small(
        &self,
        repo: &str,
        (name, size): (&str, u64),
        revision: &str,
        operation: &HubOperation,
    ) -> Result<Vec<u8>, PushError> {
        let file = HubFile::new(&self.requests, repo, revision, (name, size), &error::explain());
        file.read().map_err(|error| operation.unreadable(name, error))
    }
}
