//! `POST /exports`.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use serde::Serialize;

use super::Problem;
use crate::{
    domain::{CreateExport, Error, ExportId, RawCreateExport},
    http::body,
};

/// The body, read and valid by itself.
#[derive(Debug)]
pub struct ExportRequest(pub CreateExport);

impl<S: Send + Sync> FromRequest<S> for ExportRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(&parts.headers, body).await?;
        if !is_json(&parts.headers) {
            return Err(Problem::not_json());
        }
        let raw = parse(&bytes).ok_or_else(not_an_object)?;
        Ok(Self(raw.try_into().map_err(Error::from)?))
    }
}

/// The reader's own message may quote the body, so nobody gets to see it.
fn parse(bytes: &[u8]) -> Option<RawCreateExport> {
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    serde_json::from_slice(bytes).ok().filter(|_| is_object)
}

fn not_an_object() -> Problem {
    Problem::invalid("body", "body: must be one JSON object that names no field twice")
}

/// `application/json` and `application/…+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The export's record exists, and its job is on the way.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ExportStarted))]
pub struct Ack {
    /// Always true.
    success: bool,
    /// The same in words.
    message: String,
    /// The new export.
    export_id: ExportId,
}

impl From<ExportId> for Ack {
    fn from(export_id: ExportId) -> Self {
        Self { success: true, message: format!("Export job {export_id} started successfully"), export_id }
    }
}
