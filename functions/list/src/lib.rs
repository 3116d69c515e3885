//! `GET /exports`: the training jobs of the caller that can be exported.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use shared::{
    api::{JobBody, Problem, links},
    auth::Verifier,
    domain::JobId,
    http::{Caller, PageQuery, envelope},
    ports::TrainingJobs,
    service::{self, list::JobPage},
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

async fn list(
    State(context): State<Context>,
    Caller(caller): Caller,
    PageQuery(page): PageQuery<JobId>,
) -> Result<Response, Problem> {
    let JobPage { jobs, next } = service::list::list(&*context.jobs, &caller, page).await?;
    let jobs: Vec<JobBody> = jobs.into_iter().map(Into::into).collect();
    let mut response = Json(jobs).into_response();
    let link = next.as_ref().and_then(links::next_page);
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    Ok(response)
}
