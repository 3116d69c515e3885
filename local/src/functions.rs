//! The functions, as their own `main`s put them together, with the adapters of this machine.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Router, routing::get_service};
use jsonwebtoken::{DecodingKey, jwk::JwkSet};
use shared::{
    auth::Verifier,
    ports::{DownloadLinks, JobLauncher, PortError, TokenKeys},
};

use crate::store::Store;

/// What stands behind the ports on this machine.
pub(crate) struct Adapters {
    pub(crate) project: String,
    pub(crate) keys_url: String,
    pub(crate) store: Arc<Store>,
    pub(crate) launcher: Arc<dyn JobLauncher>,
    pub(crate) links: Arc<dyn DownloadLinks>,
}

/// The issuer's keys, as it publishes them.
struct PublishedKeys {
    client: reqwest::Client,
    url: String,
}

#[async_trait]
impl TokenKeys for PublishedKeys {
    async fn key(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, PortError> {
        let what = "the token issuer";
        let unavailable = |source: reqwest::Error| PortError::Unavailable { what, source: Box::new(source) };
        let answer = self.client.get(&self.url).send().await.map_err(unavailable)?;
        let set: JwkSet = answer.json().await.map_err(unavailable)?;
        let key = set.find(kid).map(DecodingKey::from_jwk).transpose();
        key.map(|key| key.map(Arc::new))
            .map_err(|source| PortError::Failed { what, source: Box::new(source) })
    }
}

impl Adapters {
    fn callers(&self) -> Verifier {
        let keys = PublishedKeys { client: reqwest::Client::new(), url: self.keys_url.clone() };
        Verifier::new(self.project.clone(), Arc::new(keys))
    }
}

pub(crate) fn health() -> Router {
    health::router()
}

pub(crate) fn list(adapters: &Adapters) -> anyhow::Result<Router> {
    Ok(list::router(list::Context { callers: adapters.callers(), jobs: Arc::clone(&adapters.store) as _ }))
}

pub(crate) fn create(adapters: &Adapters, list_url: &str) -> anyhow::Result<Router> {
    tracing::info!(list_url);
    Ok(create::router(create::Context {
        callers: adapters.callers(),
        jobs: Arc::clone(&adapters.store) as _,
        exports: Arc::clone(&adapters.store) as _,
        launcher: Arc::clone(&adapters.launcher),
        list: Some(get_service(list(adapters)?)),
    }))
}

pub(crate) fn get(adapters: &Adapters) -> anyhow::Result<Router> {
    Ok(get::router(get::Context {
        callers: adapters.callers(),
        jobs: Arc::clone(&adapters.store) as _,
        exports: Arc::clone(&adapters.store) as _,
        links: Arc::clone(&adapters.links),
    }))
}
