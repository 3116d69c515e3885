//! `GET /exports/{job_id}`: one of the caller's jobs, and its latest export.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::get,
};
use shared::{
    api::{JobPath, JobWithExportBody, Problem},
    auth::Verifier,
    clock,
    http::{Caller, envelope},
    ports::{DownloadLinks, Exports, TrainingJobs},
    service,
};

/// What the function needs.
#[derive(Clone)]
pub struct Context {
    /// Tells who calls.
    pub callers: Verifier,
    /// The jobs.
    pub jobs: Arc<dyn TrainingJobs>,
    /// Their exports.
    pub exports: Arc<dyn Exports>,
    /// Makes links to files.
    pub links: Arc<dyn DownloadLinks>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The function's routes.
pub fn router(context: Context) -> Router {
    envelope(Router::new().route("/exports/{job_id}", get(find)).with_state(context))
}

async fn find(
    State(Context { jobs, exports, links, .. }): State<Context>,
    Caller(caller): Caller,
    JobPath(id): JobPath,
) -> Result<Json<JobWithExportBody>, Problem> {
    let found = service::get::get(&*jobs, &*exports, &*links, &caller, &id, clock::now()).await?;
    Ok(Json(found.into()))
}
