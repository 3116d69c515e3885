//! The Hugging Face Hub: base models come from it, exports go to it.

mod card;
mod error;
mod model;
mod push;
mod transfer;

use hf_hub::HFClient;
use secrecy::{ExposeSecret, SecretString};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

pub(crate) use card::Card;
pub(crate) use push::Push;

use crate::{context::HubSettings, error::JobError};

/// A client with the caller's token, for code that blocks.
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
            message: "the Hugging Face client cannot be set up (HF_ENDPOINT)".to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { client, settings: settings.clone(), token, runtime })
    }

    fn repository(&self, repo: &HubRepo) -> hf_hub::HFRepository<hf_hub::RepoTypeModel> {
        let (owner, name) = repo.parts();
        self.client.model(owner, name)
    }

    /// Waits for an answer of the Hub, not longer than the deadline.
    fn ask<T>(
        &self,
        doing: &error::Doing<'_>,
        call: impl Future<Output = hf_hub::HFResult<T>>,
    ) -> Result<T, JobError> {
        let answer =
            self.runtime.block_on(async { tokio::time::timeout(self.settings.deadline, call).await });
        answer.map_err(|_| doing.too_slow())?.map_err(|error| doing.failed(error))
    }
}
