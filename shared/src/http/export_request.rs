//! Extractor for the body of `POST /exports`.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};

use super::body;
use crate::{
    api::Problem,
    domain::{CreateExport, Error, RawCreateExport},
};

/// The validated request body. Rejects with 408, 413, 415 or 400, in the order in which they can be detected.
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
        let raw = parse_object(&bytes).ok_or_else(not_an_object)?;
        Ok(Self(raw.try_into().map_err(Error::from)?))
    }
}

/// The error of `serde_json` is dropped: it can quote the body, which holds the Hub token.
fn parse_object(bytes: &[u8]) -> Option<RawCreateExport> {
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    serde_json::from_slice(bytes).ok().filter(|_| is_object)
}

fn not_an_object() -> Problem {
    Problem::invalid("body", "body: must be one JSON object without duplicate field names")
}

/// Whether `Content-Type` is `application/json` or `application/…+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
