//! Extractor for the path parameters `job_id` and `export_id`.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::{
    api::Problem,
    domain::{ExportId, InvalidId, JobId},
};

/// The ids of a job and of one of its exports in the route's path. Rejects an invalid id with 400.
#[derive(Debug)]
pub struct ExportPath(pub JobId, pub ExportId);

impl<S: Send + Sync> FromRequestParts<S> for ExportPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let not_utf8 = |_| Problem::invalid("job_id", "job_id: must be UTF-8");
        let Path((job, export)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(not_utf8)?;
        let job =
            job.parse().map_err(|why: InvalidId| Problem::invalid("job_id", format!("job_id: {why}")))?;
        let invalid = |why: InvalidId| Problem::invalid("export_id", format!("export_id: {why}"));
        Ok(Self(job, export.parse().map_err(invalid)?))
    }
}
