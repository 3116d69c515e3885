//! The Hugging Face Hub: base models come from it, exports go to it.

mod card;
mod error;
mod model;
mod push;
mod transfer;

use std::time::Duration;

use hf_hub::HFClient;
use secrecy::{ExposeSecret, SecretString};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

pub(crate) use card::Card;
pub(crate) use push::Push;

use crate::error::JobError;

/// Longest wait for an answer of the Hub's API.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client with the caller's token, for code that blocks.
pub(crate) struct Hub {
    client: HFClient,
    token: Option<SecretString>,
    runtime: Handle,
}

impl Hub {
    pub(crate) fn new(
        endpoint: &str,
        token: Option<SecretString>,
        runtime: Handle,
    ) -> Result<Self, JobError> {
        let mut builder = HFClient::builder().endpoint(endpoint).cache_enabled(false);
        if let Some(token) = &token {
            builder = builder.token(token.expose_secret());
        }
        let client = builder.build().map_err(|source| JobError::Hub {
            message: "the Hugging Face client cannot be set up (HF_ENDPOINT)".to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { client, token, runtime })
    }

    fn repository(&self, repo: &HubRepo) -> hf_hub::HFRepository<hf_hub::RepoTypeModel> {
        let (owner, name) = repo.parts();
        self.client.model(owner, name)
    }

    /// Waits for an answer of the Hub, not longer than [`DEADLINE`].
    fn ask<T>(
        &self,
        doing: &error::Doing<'_>,
        call: impl Future<Output = hf_hub::HFResult<T>>,
    ) -> Result<T, JobError> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, call).await });
        answer.map_err(|_| doing.too_slow())?.map_err(|error| doing.failed(error))
    }
}
