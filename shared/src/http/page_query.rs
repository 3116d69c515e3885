//! Extractor for the query parameters `page_size` and `page_token`.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::Deserialize;

use crate::{
    api::Problem,
    domain::{InvalidPageSize, PageRequest, PageSize},
};

/// The page that the query asks for; `None` if it has neither parameter. A token is the id of the last item of the page
/// before. Rejects an invalid size or token with 400; other parameters are ignored.
#[derive(Debug)]
pub struct PageQuery<Id>(pub Option<PageRequest<Id>>);

#[derive(Deserialize)]
struct RawPageQuery {
    page_size: Option<String>,
    page_token: Option<String>,
}

impl<S: Send + Sync, Id: FromStr> FromRequestParts<S> for PageQuery<Id> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed =
            |_| Problem::invalid("page_size", "the query must have page_size and page_token at most once");
        let Query(raw) = Query::<RawPageQuery>::from_request_parts(parts, state).await.map_err(malformed)?;
        if raw.page_size.is_none() && raw.page_token.is_none() {
            return Ok(Self(None));
        }
        let size = raw.page_size.map_or(Ok(PageSize::DEFAULT), |text| text.parse());
        let size =
            size.map_err(|why: InvalidPageSize| Problem::invalid("page_size", format!("page_size: {why}")))?;
        let after = raw.page_token.map(|token| token.parse::<Id>());
        let invalid = |_| Problem::invalid("page_token", "page_token: is not a token of this list");
        Ok(Self(Some(PageRequest { size, after: after.transpose().map_err(invalid)? })))
    }
}
