//! The functions, as their own `main`s put them together, with the adapters of this machine.

use std::sync::Arc;

use axum::{Router, routing::get_service};
use shared::{
    adapters::firebase_keys::FirebaseKeys,
    auth::Verifier,
    ports::{DownloadLinks, JobLauncher},
};
use url::Url;

use crate::store::Store;

/// What stands behind the ports on this machine.
pub(crate) struct Adapters {
    pub(crate) project: String,
    pub(crate) keys_url: Url,
    pub(crate) store: Arc<Store>,
    pub(crate) launcher: Arc<dyn JobLauncher>,
    pub(crate) links: Arc<dyn DownloadLinks>,
}

impl Adapters {
    fn callers(&self) -> Verifier {
        let keys = FirebaseKeys::new(Some(self.keys_url.clone()));
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
