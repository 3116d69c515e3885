//! Extractor for the path parameter `job_id`.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::{
    api::Problem,
    domain::{InvalidId, JobId},
};

/// The job id in the route's only path parameter. Rejects an invalid id with 400.
#[derive(Debug)]
pub struct JobPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let not_utf8 = |_| Problem::invalid("job_id", "job_id: must be UTF-8");
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(not_utf8)?;
        let invalid_id = |why: InvalidId| Problem::invalid("job_id", format!("job_id: {why}"));
        id.parse().map(Self).map_err(invalid_id)
    }
}
