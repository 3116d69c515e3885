//! The Hugging Face Hub: base models are read from it, exports are pushed to it.

mod card;
mod contents;
mod error;
mod file_stream;
mod model;
mod push;
mod stall;
mod transfer;

use hf_hub::HFClient;
use secrecy::{ExposeSecret, SecretString};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

pub(crate) use card::ModelCard;
pub(crate) use push::PushRequest;

use crate::{context::HubSettings, error::JobError};

/// A client with the caller's token, for blocking code.
pub(crate) struct Hub {
    client: HFClient,
    settings: HubSettings,
    token: Option<SecretString>,
    runtime: Handle,
}

impl Hub {
    pub(crate) fn new(
        settings: &HubSettings,
        token: Option<SecretString>,
        runtime: Handle,
    ) -> Result<Self, JobError> {
        let mut builder = HFClient::builder().endpoint(&settings.endpoint).cache_enabled(false);
        if let Some(token) = &token {
            builder = builder.token(token.expose_secret());
        }
        let client = builder.build().map_err(|source| JobError::Hub {
            message: format!(
                "the client of the Hugging Face Hub cannot be created for {} (HF_ENDPOINT)",
                settings.endpoint
            ),
            source: Box::new(source),
        })?;
        Ok(Self { client, settings: settings.clone(), token, runtime })
    }

    fn repository(&self, repo: &HubRepo) -> hf_hub::HFRepository<hf_hub::RepoTypeModel> {
        let (owner, name) = repo.parts();
        self.client.model(owner, name)
    }

    /// Blocks until the Hub responds, at most for the deadline.
    fn request<T>(
        &self,
        operation: &error::HubOperation<'_>,
        call: impl Future<Output = hf_hub::HFResult<T>>,
    ) -> Result<T, JobError> {
        let response =
            self.runtime.block_on(async { tokio::time::timeout(self.settings.deadline, call).await });
        response.map_err(|_| operation.timed_out())?.map_err(|error| operation.failed(error))
    }
}
