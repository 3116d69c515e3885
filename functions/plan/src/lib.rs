//! `POST /plans`: what an export would make, without making it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::post,
};
use shared::{
    api::Problem,
    auth::Verifier,
    domain::Plan,
    http::{Caller, ExportRequest, envelope},
    ports::{ExportPlanner, TrainingJobs},
    service,
};

/// The dependencies of the function.
#[derive(Clone)]
pub struct Context {
    /// Authenticates the caller.
    pub callers: Verifier,
    /// The training jobs.
    pub jobs: Arc<dyn TrainingJobs>,
    /// Plans the exports.
    pub planner: Arc<dyn ExportPlanner>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The routes of the function.
pub fn router(context: Context) -> Router {
    envelope(Router::new().route("/plans", post(plan)).with_state(context))
}

async fn plan(
    State(Context { jobs, planner, .. }): State<Context>,
    Caller(caller): Caller,
    ExportRequest(request): ExportRequest,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(service::plan::plan(&*jobs, &*planner, &caller, &request).await?))
}
