//! `GET /exports/{job_id}`: a training job of the caller, and its latest export.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing,
};
use shared::{
    api::{JobWithExportBody, Problem},
    auth::Verifier,
    clock,
    http::{Caller, JobPath, envelope},
    ports::{DownloadLinks, Exports, TrainingJobs},
    service::get::{self, GetPorts},
};

/// The dependencies of the function.
#[derive(Clone)]
pub struct Context {
    /// Authenticates the caller.
    pub callers: Verifier,
    /// The training jobs.
    pub jobs: Arc<dyn TrainingJobs>,
    /// The exports.
    pub exports: Arc<dyn Exports>,
    /// Creates download links.
    pub links: Arc<dyn DownloadLinks>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The routes of the function.
pub fn router(context: Context) -> Router {
    envelope(Router::new().route("/exports/{job_id}", routing::get(get_job)).with_state(context))
}

async fn get_job(
    State(Context { jobs, exports, links, .. }): State<Context>,
    Caller(caller): Caller,
    JobPath(id): JobPath,
) -> Result<Json<JobWithExportBody>, Problem> {
    let ports = GetPorts { jobs: &*jobs, exports: &*exports, links: &*links };
    let found = get::get(ports, &caller, &id, clock::now()).await?;
    Ok(Json(found.into()))
}
