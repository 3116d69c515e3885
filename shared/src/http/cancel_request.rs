//! Extractor for the body of `POST /exports/{job_id}/cancel`.

use axum::extract::{FromRequest, Request};
use serde::Deserialize;

use super::body;
use crate::{
    api::Problem,
    domain::{ExportId, InvalidId},
};

/// The export that the body names; `None` without a body or with an empty object. One that names none, by a misspelt field
/// for example, is refused: the caller may mean an export that is not the newest. Rejects with 408, 413, 415 or 400.
#[derive(Debug)]
pub struct CancelRequest(pub Option<ExportId>);

#[derive(Deserialize)]
struct RawCancelRequest {
    export_id: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyObject {}

impl<S: Send + Sync> FromRequest<S> for CancelRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(&parts.headers, body).await?;
        if bytes.is_empty() || body::json_object(&parts.headers, &bytes).is_ok_and(|EmptyObject {}| true) {
            return Ok(Self(None));
        }
        let raw: RawCancelRequest = body::json_object(&parts.headers, &bytes)?;
        let Some(id) = raw.export_id else {
            let detail = "export_id: must be the id of an export; to cancel the newest one that is running, send no body";
            return Err(Problem::invalid("export_id", detail));
        };
        let invalid = |why: InvalidId| Problem::invalid("export_id", format!("export_id: {why}"));
        id.as_str().unwrap_or_default().parse().map(|id| Self(Some(id))).map_err(invalid)
    }
}
