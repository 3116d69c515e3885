//! `GET /exports`: the training jobs of the caller that can be exported.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::get,
};
use shared::{
    api::{JobBody, Problem},
    auth::Verifier,
    http::{Caller, envelope},
    ports::TrainingJobs,
    service,
};

/// The dependencies of the function.
#[derive(Clone)]
pub struct Context {
    /// Authenticates the caller.
    pub callers: Verifier,
    /// The training jobs.
    pub jobs: Arc<dyn TrainingJobs>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The routes of the function.
pub fn router(context: Context) -> Router {
    envelope(Router::new().route("/exports", get(list)).with_state(context))
}

async fn list(State(context): State<Context>, Caller(caller): Caller) -> Result<Json<Vec<JobBody>>, Problem> {
    let jobs = service::list::list(&*context.jobs, &caller).await?;
    Ok(Json(jobs.into_iter().map(Into::into).collect()))
}
