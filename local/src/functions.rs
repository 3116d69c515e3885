//! The functions, built as in their own `main`s, with the adapters of the local stack.

use std::sync::Arc;

use axum::Router;
use shared::{
    adapters::{firebase_keys::FirebaseKeys, list_service},
    auth::Verifier,
    config::ListServiceConfig,
    domain::CallerLimits,
    ports::{DownloadLinks, ExportPlanner, JobLauncher},
};
use url::Url;

use crate::store::DocumentStore;

/// The implementations of the ports on this machine.
pub(crate) struct LocalAdapters {
    pub(crate) project: String,
    /// Where the keys of tokens are, or nothing for the unsigned tokens of the Auth emulator.
    pub(crate) keys_url: Option<Url>,
    pub(crate) store: Arc<DocumentStore>,
    pub(crate) launcher: Arc<dyn JobLauncher>,
    pub(crate) limits: CallerLimits,
    pub(crate) links: Arc<dyn DownloadLinks>,
    pub(crate) planner: Arc<dyn ExportPlanner>,
}

impl LocalAdapters {
    fn callers(&self) -> Verifier {
        match &self.keys_url {
            Some(url) => Verifier::new(self.project.clone(), Arc::new(FirebaseKeys::new(Some(url.clone())))),
            None => Verifier::for_emulator(self.project.clone()),
        }
    }
}

pub(crate) fn health() -> Router {
    health::router()
}

pub(crate) fn list(adapters: &LocalAdapters) -> Router {
    list::router(list::Context { callers: adapters.callers(), jobs: Arc::clone(&adapters.store) as _ })
}

/// `list_url` is the address of `list`: `create` forwards `GET /exports` to it, as in production.
pub(crate) fn create(adapters: &LocalAdapters, list_url: Url) -> Router {
    create::router(create::Context {
        callers: adapters.callers(),
        jobs: Arc::clone(&adapters.store) as _,
        exports: Arc::clone(&adapters.store) as _,
        launcher: Arc::clone(&adapters.launcher),
        // nothing deletes documents of SQLite
        retention_days: None,
        limits: adapters.limits,
        list: list_service::routes(
            ListServiceConfig { list_url: Some(list_url), with_identity: false },
            None,
        ),
    })
}

pub(crate) fn get(adapters: &LocalAdapters) -> Router {
    get::router(get::Context {
        callers: adapters.callers(),
        jobs: Arc::clone(&adapters.store) as _,
        exports: Arc::clone(&adapters.store) as _,
        links: Arc::clone(&adapters.links),
    })
}

pub(crate) fn cancel(adapters: &LocalAdapters) -> Router {
    cancel::router(cancel::Context {
        callers: adapters.callers(),
        jobs: Arc::clone(&adapters.store) as _,
        exports: Arc::clone(&adapters.store) as _,
        launcher: Arc::clone(&adapters.launcher),
    })
}

pub(crate) fn plan(adapters: &LocalAdapters) -> Router {
    plan::router(plan::Context {
        callers: adapters.callers(),
        jobs: Arc::clone(&adapters.store) as _,
        planner: Arc::clone(&adapters.planner),
    })
}
