//! `GET /exports/{job_id}`: a training job of the caller, and its latest export. `GET /exports/{job_id}/history`: its
//! exports, page by page, or one of them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing,
};
use shared::{
    api::{ExportBody, HistoryBody, JobWithExportBody, Problem},
    auth::Verifier,
    clock,
    domain::ExportId,
    http::{Caller, ExportPath, JobPath, PageQuery, envelope},
    ports::{DownloadLinks, ExportReader, TrainingJobs},
    service::{
        get::{self, GetPorts},
        history::{self, HistoryPorts},
        links,
    },
};

/// The dependencies of the function.
#[derive(Clone)]
pub struct Context {
    /// Authenticates the caller.
    pub callers: Verifier,
    /// The training jobs.
    pub jobs: Arc<dyn TrainingJobs>,
    /// The exports.
    pub exports: Arc<dyn ExportReader>,
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
    let routes = Router::new()
        .route("/exports/{job_id}", routing::get(get_job))
        .route("/exports/{job_id}/history", routing::get(get_history))
        .route("/exports/{job_id}/history/{export_id}", routing::get(get_export));
    envelope(routes.with_state(context))
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

async fn get_history(
    State(Context { jobs, exports, .. }): State<Context>,
    Caller(caller): Caller,
    JobPath(id): JobPath,
    PageQuery(request): PageQuery<ExportId>,
) -> Result<Json<HistoryBody>, Problem> {
    let ports = HistoryPorts { jobs: &*jobs, exports: &*exports };
    Ok(Json(history::page(ports, &caller, &id, request.unwrap_or_default(), clock::now()).await?.into()))
}

async fn get_export(
    State(Context { jobs, exports, links: download_links, .. }): State<Context>,
    Caller(caller): Caller,
    ExportPath(job, export): ExportPath,
) -> Result<Json<ExportBody>, Problem> {
    let ports = HistoryPorts { jobs: &*jobs, exports: &*exports };
    let export = history::find(ports, &caller, &job, export, clock::now()).await?;
    let links = links::of_export(&*download_links, &export).await;
    Ok(Json(ExportBody::new(export, &links)))
}
