//! Extractor for the body of `POST /exports`.

use axum::extract::{FromRequest, Request};

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
        let raw: RawCreateExport = body::json_object(&parts.headers, &bytes)?;
        Ok(Self(raw.try_into().map_err(Error::from)?))
    }
}
