//! Extractor for the query parameters `page_size` and `page_token`.

use std::str::FromStr;

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};
use url::form_urlencoded;

use crate::{
    api::Problem,
    domain::{InvalidPageSize, PageRequest, PageSize},
};

/// The page that the query asks for; `None` if it has neither parameter. A token is the id of the last item of the page
/// before. Rejects an invalid size or token with 400; other parameters are ignored.
#[derive(Debug)]
pub struct PageQuery<Id>(pub Option<PageRequest<Id>>);

impl<S: Send + Sync, Id: FromStr> FromRequestParts<S> for PageQuery<Id> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (page_size, page_token) = (once(&parts.uri, "page_size")?, once(&parts.uri, "page_token")?);
        if page_size.is_none() && page_token.is_none() {
            return Ok(Self(None));
        }
        let size = page_size.map_or(Ok(PageSize::DEFAULT), |text| text.parse());
        let size =
            size.map_err(|why: InvalidPageSize| Problem::invalid("page_size", format!("page_size: {why}")))?;
        let after = page_token.map(|token| token.parse::<Id>());
        let invalid = |_| Problem::invalid("page_token", "page_token: is not a token of this list");
        Ok(Self(Some(PageRequest { size, after: after.transpose().map_err(invalid)? })))
    }
}

/// The value of a parameter that the query has at most once.
fn once(uri: &Uri, name: &'static str) -> Result<Option<String>, Problem> {
    let mut values = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter_map(|(key, value)| (key == name).then(|| value.into_owned()));
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Problem::invalid(name, format!("{name}: must be in the query at most once"))),
    }
}
