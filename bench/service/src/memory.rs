//! One of our routers over a store in memory, with tokens verified as ever.

use std::sync::Arc;

use shared::{
    adapters::firebase_keys,
    config::{self, process},
    ports::{Exports, TrainingJobs},
    serve, telemetry,
    testing::{FakeLinks, MemoryStore, RecordingLauncher},
};

use crate::{contenders::Route, result::Result, seed};

/// Serves until it is killed.
pub(crate) async fn serve(route: Route) -> Result<()> {
    telemetry::init(&process)?;
    let store = Arc::new(MemoryStore::default());
    for (collection, id, document) in seed::all() {
        store.put(collection, &id, document);
    }
    let callers = firebase_keys::verifier(config::FirebaseConfig::from(&process)?);
    let jobs: Arc<dyn TrainingJobs> = Arc::clone(&store) as _;
    let exports: Arc<dyn Exports> = store;
    let router = match route {
        Route::Health => health::router(),
        Route::List => list::router(list::Context { callers, jobs }),
        Route::Get => {
            let links = Arc::new(FakeLinks::default());
            get::router(get::Context { callers, jobs, exports, links })
        }
        Route::History | Route::Cancel | Route::Plan => {
            return Err(format!("{route} is not measured with a store in memory").into());
        }
        Route::Create => {
            let launcher = Arc::new(RecordingLauncher::default());
            create::router(create::Context {
                callers,
                jobs,
                exports,
                launcher,
                retention_days: None,
                limits: config::caller_limits(&process)?,
                list: None,
            })
        }
    };
    serve::run(router, &process).await
}
