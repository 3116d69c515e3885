//! `POST /exports/{job_id}/cancel`: cancels an export.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::post,
};
use shared::{
    api::{ExportBody, Problem},
    auth::Verifier,
    clock,
    http::{Caller, CancelRequest, JobPath, envelope, uncancelled},
    ports::{Exports, JobLauncher, TrainingJobs},
    service::cancel::{self, CancelPorts},
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
    /// Stops the export job.
    pub launcher: Arc<dyn JobLauncher>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The routes of the function.
pub fn router(context: Context) -> Router {
    envelope(Router::new().route("/exports/{job_id}/cancel", post(cancel)).with_state(context))
}

/// Completes even if the client disconnects, so that the job of a cancelled export is stopped.
async fn cancel(
    State(Context { jobs, exports, launcher, .. }): State<Context>,
    Caller(caller): Caller,
    JobPath(job): JobPath,
    CancelRequest(export): CancelRequest,
) -> Result<Json<ExportBody>, Problem> {
    let cancelled = uncancelled(async move {
        let ports = CancelPorts { jobs: &*jobs, exports: &*exports, launcher: &*launcher };
        cancel::cancel(ports, &caller, &job, export, clock::now()).await
    });
    Ok(Json(cancelled.await?.into()))
}
