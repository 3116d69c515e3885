//! `POST /exports`: starts an export. The path has one name in Firebase Hosting for all of its methods, and that is
//! this function's, so it also passes `GET /exports` on to `list`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::{MethodRouter, post},
};
use shared::{
    api::{Ack, ExportRequest, Problem},
    auth::Verifier,
    http::{Caller, envelope, to_the_end},
    ports::{Exports, JobLauncher, TrainingJobs},
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
    /// Starts the export job.
    pub launcher: Arc<dyn JobLauncher>,
    /// Who answers GET and HEAD; without one they are not allowed.
    pub list: Option<MethodRouter>,
}

impl FromRef<Context> for Verifier {
    fn from_ref(context: &Context) -> Self {
        context.callers.clone()
    }
}

/// The function's routes.
pub fn router(context: Context) -> Router {
    let list = context.list.clone().unwrap_or_default();
    let routes = Router::new().route("/exports", post(create)).with_state(context);
    envelope(routes.route("/exports", list))
}

/// Runs to its end also when the caller hangs up: a record whose job was never started helps nobody.
async fn create(
    State(Context { jobs, exports, launcher, .. }): State<Context>,
    Caller(caller): Caller,
    ExportRequest(request): ExportRequest,
) -> Result<Json<Ack>, Problem> {
    let id =
        to_the_end(
            async move { service::create::create(&*jobs, &*exports, &*launcher, &caller, &request).await },
        );
    Ok(Json(id.await?.into()))
}
