//! `POST /exports`: starts an export. Firebase Hosting routes a path to one function regardless of the method, so this
//! function also forwards `GET /exports` to the function `list`.

use std::{num::NonZeroU16, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::{HeaderValue, header},
    middleware::map_response,
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
    let policy = rate_limit::policy(context.limits);
    let with_policy = map_response(move |mut response: Response| {
        response.headers_mut().extend(policy.clone().map(|policy| (rate_limit::POLICY, policy)));
        std::future::ready(response)
    });
    let routes = Router::new().route("/exports", post(create).route_layer(with_policy)).with_state(context);
    envelope(routes.route("/exports", list))
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
