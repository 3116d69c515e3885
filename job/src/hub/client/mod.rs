//! The client of the Hub, with the caller's token.

mod contents;
mod destination;
mod error;
mod file_stream;
mod model;
mod push;
mod stall;
mod transfer;

use std::sync::Arc;

use hf_hub::{HFClient, HFResult};
use hub_client::{HubClient, HubError, HubSettings, RetryMonitor};
use secrecy::{ExposeSecret, SecretString};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

use crate::{error::JobError, progress::ProgressTracker};
use error::HubOperation;

/// A client with the caller's token, for blocking code.
pub(crate) struct Hub {
    requests: Arc<HubClient>,
    /// For pushes.
    client: HFClient,
}

impl Hub {
    pub(crate) fn new(
        settings: &HubSettings,
        token: Option<SecretString>,
        progress: &Arc<ProgressTracker>,
        runtime: Handle,
    ) -> Result<Arc<Self>, JobError> {
        let unusable = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error, endpoint = settings.endpoint, "the client of the Hub cannot be created");
            JobError::Internal(format!(
                "the client of the Hugging Face Hub cannot be created for {} (HF_ENDPOINT): correct the endpoint",
                settings.endpoint
            ))
        };
        // retries are those of HubClient, with the delays that the Hub asks for
        let mut builder =
            HFClient::builder().endpoint(&settings.endpoint).cache_enabled(false).retry_max_attempts(0);
        if let Some(token) = &token {
            builder = builder.token(token.expose_secret());
        }
        let client = builder.build().map_err(|e| unusable(&e))?;
        let monitor: Arc<dyn RetryMonitor> = Arc::<ProgressTracker>::clone(progress);
        let requests = HubClient::new(settings, token, monitor, runtime).map_err(|e| unusable(&e))?;
        Ok(Arc::new(Self { requests, client }))
    }

    fn repository(&self, repo: &HubRepo) -> hf_hub::HFRepository<hf_hub::RepoTypeModel> {
        let (owner, name) = repo.parts();
        self.client.model(owner, name)
    }

    /// The page of a repository.
    fn url_of(&self, repo: &HubRepo) -> String {
        format!("{}/{repo}", self.requests.settings().endpoint)
    }

    /// Blocks until the client's call succeeds, or fails for good.
    fn request<T, F>(&self, operation: &HubOperation, mut call: impl FnMut() -> F) -> Result<T, JobError>
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
    async fn checked<T>(&self, result: HFResult<T>) -> Result<T, HubError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => match error::of_client(error) {
                (error, Some(url)) => Err(self.requests.with_wait(error, url).await),
                (error, None) => Err(error),
            },
        }
    }
}
