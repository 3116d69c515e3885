//! `POST /exports`: starts an export. Firebase Hosting routes a path to one function regardless of the method, so this
//! function also forwards `GET /exports` to the function `list`.

use std::{num::NonZeroU16, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::HeaderValue,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use shared::{
    api::{ExportStarted, Problem, REPLAYED},
    auth::Verifier,
    http::{Caller, ExportRequest, RequestKey, envelope, uncancelled},
    ports::{Exports, JobLauncher, TrainingJobs},
    service::{
        self,
        create::{CreatePorts, StartedExport},
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
    pub exports: Arc<dyn Exports>,
    /// Starts the export job.
    pub launcher: Arc<dyn JobLauncher>,
    /// How many days after its end the record of an export is kept; `None` if it is never deleted.
    pub retention_days: Option<NonZeroU16>,
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
    State(Context { jobs, exports, launcher, retention_days, .. }): State<Context>,
    Caller(caller): Caller,
    RequestKey(key): RequestKey,
    ExportRequest(request): ExportRequest,
) -> Result<Response, Problem> {
    let started = uncancelled(async move {
        let ports = CreatePorts { jobs: &*jobs, exports: &*exports, launcher: &*launcher, retention_days };
        service::create::create(ports, &caller, &request, key.as_ref()).await
    });
    let StartedExport { id, replayed } = started.await?;
    let mut response = Json(ExportStarted::from(id)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
