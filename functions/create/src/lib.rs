//! `POST /exports`: starts an export. Firebase Hosting routes a path to one function regardless of the method, so this
//! function also forwards `GET /exports` to the function `list`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::{MethodRouter, post},
};
use shared::{
    api::{ExportStarted, Problem},
    auth::Verifier,
    http::{Caller, ExportRequest, envelope, uncancelled},
    ports::{Exports, JobLauncher, TrainingJobs},
    service,
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
    /// Starts the export job.
    pub launcher: Arc<dyn JobLauncher>,
    /// Handles GET and HEAD; without it they return 405.
    pub list: Option<MethodRouter>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The routes of the function.
pub fn router(context: Context) -> Router {
    let list = context.list.clone().unwrap_or_default();
    let routes = Router::new().route("/exports", post(create)).with_state(context);
    envelope(routes.route("/exports", list))
}

/// Completes even if the client disconnects, so that no record is left without a started job.
async fn create(
    State(Context { jobs, exports, launcher, .. }): State<Context>,
    Caller(caller): Caller,
    ExportRequest(request): ExportRequest,
) -> Result<Json<ExportStarted>, Problem> {
    let id = uncancelled(async move {
        service::create::create(&*jobs, &*exports, &*launcher, &caller, &request).await
    });
    Ok(Json(id.await?.into()))
}
