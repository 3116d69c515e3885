//! The client of the Hub, with the caller's token.

mod contents;
mod destination;
mod error;
mod file;
mod file_stream;
mod model;
mod push;
mod requests;
mod response;
mod stall;
mod transfer;

use std::sync::Arc;

use hf_hub::HFClient;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

use crate::{context::HubSettings, error::JobError, progress::ProgressTracker};

/// A client with the caller's token, for blocking code.
pub(crate) struct Hub {
    client: HFClient,
    /// For what the client does not do. It follows no redirects.
    http: reqwest::Client,
    settings: HubSettings,
    token: Option<SecretString>,
    progress: Arc<ProgressTracker>,
    runtime: Handle,
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
        let http = reqwest::Client::builder().redirect(Policy::none()).build().map_err(|e| unusable(&e))?;
        // retries are this crate's, with the delays that the Hub asks for
        let mut builder =
            HFClient::builder().endpoint(&settings.endpoint).cache_enabled(false).retry_max_attempts(0);
        if let Some(token) = &token {
            builder = builder.token(token.expose_secret());
        }
        let client = builder.build().map_err(|e| unusable(&e))?;
        let (settings, progress) = (settings.clone(), Arc::clone(progress));
        Ok(Arc::new(Self { client, http, settings, token, progress, runtime }))
    }

    fn repository(&self, repo: &HubRepo) -> hf_hub::HFRepository<hf_hub::RepoTypeModel> {
        let (owner, name) = repo.parts();
        self.client.model(owner, name)
    }
}
