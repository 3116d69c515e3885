//! `POST /exports`: starts an export. Firebase Hosting routes a path to one function regardless of the method, so this
//! function also forwards `GET /exports` to the function `list`.

use std::{num::NonZeroU16, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, Request, State},
    http::{HeaderValue, Method, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use shared::{
    api::{ExportStarted, Problem, REPLAYED, links, rate_limit},
    auth::Verifier,
    domain::CallerLimits,
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
    /// The limits of each caller.
    pub limits: CallerLimits,
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
    let policy = rate_limit::policy(context.limits).map(|policy| (rate_limit::POLICY, policy));
    // around the envelope, which refuses requests that are too large
    let with_policy = from_fn(move |request: Request, next: Next| {
        let is_create = request.method() == Method::POST && request.uri().path() == "/exports";
        let policy = policy.clone().filter(|_| is_create);
        async move {
            let mut response = next.run(request).await;
            response.headers_mut().extend(policy);
            response
        }
    });
    let routes = Router::new().route("/exports", post(create)).with_state(context);
    envelope(routes.route("/exports", list)).layer(with_policy)
}

/// Completes even if the client disconnects, so that no record is left without a started job.
async fn create(
    State(Context { jobs, exports, launcher, retention_days, limits, .. }): State<Context>,
    Caller(caller): Caller,
    RequestKey(key): RequestKey,
    ExportRequest(request): ExportRequest,
) -> Result<Response, Problem> {
    let job = request.job_id.clone();
    let started = uncancelled(async move {
        let ports =
            CreatePorts { jobs: &*jobs, exports: &*exports, launcher: &*launcher, retention_days, limits };
        service::create::create(ports, &caller, &request, key.as_ref()).await
    });
    let StartedExport { id, replayed, quotas } = started.await?;
    let mut response = Json(ExportStarted::from(id)).into_response();
    let headers = response.headers_mut();
    headers.extend(links::export(&job, id).map(|path| (header::LOCATION, path)));
    headers.extend(rate_limit::state(&quotas).map(|state| (rate_limit::STATE, state)));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
