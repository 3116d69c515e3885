//! Extractor for the query parameters `page_size` and `page_token`.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::Deserialize;

use crate::{
    api::Problem,
    domain::{ExportId, InvalidId, InvalidPageSize, PageSize},
    service::history::PageRequest,
};

/// The page that the query asks for. Rejects an invalid size or token with 400; other parameters are ignored.
#[derive(Debug)]
pub struct PageQuery(pub PageRequest);

#[derive(Deserialize)]
struct RawPageQuery {
    page_size: Option<String>,
    page_token: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed =
            |_| Problem::invalid("page_size", "the query must have page_size and page_token at most once");
        let Query(raw) = Query::<RawPageQuery>::from_request_parts(parts, state).await.map_err(malformed)?;
        let size = raw.page_size.map_or(Ok(PageSize::DEFAULT), |text| text.parse());
        let size =
            size.map_err(|why: InvalidPageSize| Problem::invalid("page_size", format!("page_size: {why}")))?;
        let after = raw.page_token.map(|token| token.parse::<ExportId>());
        let invalid =
            |_: InvalidId| Problem::invalid("page_token", "page_token: is not a token of this history");
        Ok(Self(PageRequest { size, after: after.transpose().map_err(invalid)? }))
    }
}
