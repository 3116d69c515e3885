//! Limits of a request's address and header fields, with problems as answers. hyper refuses what is larger still, without a body.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::HeaderValue,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    api::Problem,
    telemetry::{RequestTags, in_request},
};

/// The longest path and query, in bytes.
const MAX_ADDRESS: usize = 16 * 1024;
/// The most bytes of header fields. Larger than any valid token, so an oversized token gets a 401.
const MAX_HEADER: usize = 128 * 1024;
/// The most header fields.
const MAX_FIELDS: usize = 100;

/// The limits of hyper are twice as large, so that most of what is too large gets an answer with a body.
pub(crate) const HYPER_MAX_HEADER: usize = 2 * MAX_HEADER;
pub(crate) const HYPER_MAX_FIELDS: usize = 2 * MAX_FIELDS;

/// Middleware for routes without an [envelope](super::envelope()): refuses requests whose address or header is too large.
pub async fn limit_sizes(request: Request, next: Next) -> Response {
    let Some(problem) = exceeded(&request) else { return next.run(request).await };
    let tags = Arc::new(RequestTags::new(request.headers()));
    let id = HeaderValue::from_str(&tags.id);
    let mut response = in_request(tags, async { problem.into_response() }).await;
    if let Ok(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The problem of a request whose address or header is too large.
pub(super) fn exceeded(request: &Request) -> Option<Problem> {
    let (headers, uri) = (request.headers(), request.uri());
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if uri.path_and_query().is_some_and(|address| address.as_str().len() > MAX_ADDRESS) {
        return Some(Problem::uri_too_long());
    }
    (size > MAX_HEADER || headers.len() > MAX_FIELDS).then(Problem::header_too_large)
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        middleware::from_fn,
    };
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(path: &str, fields: &[(String, String)]) -> (u16, Value) {
        let app = Router::new().fallback(async || "{}").layer(from_fn(limit_sizes));
        let request = fields.iter().fold(Request::get(path), |request, (k, v)| request.header(k, v));
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (status, id) = (response.status().as_u16(), response.headers().get("x-request-id").cloned());
        let body: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
        assert_eq!(id.map(|id| json!(id.to_str().unwrap())), body.get("request_id").cloned());
        (status, body)
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_gets_a_problem() {
        let field = |length: usize| vec![("x".to_owned(), "x".repeat(length - 1))];
        let fields = |count: usize| (0..count).map(|n| (format!("x-{n}"), String::new())).collect();
        let path = |length: usize| format!("/{}", "x".repeat(length - 1));
        for (path, fields, status, kind) in [
            (path(MAX_ADDRESS), vec![], 200, None),
            (path(MAX_ADDRESS + 1), vec![], 414, Some("uri-too-long")),
            (path(1), field(MAX_HEADER), 200, None),
            (path(1), field(MAX_HEADER + 1), 431, Some("header-too-large")),
            (path(1), fields(MAX_FIELDS), 200, None),
            (path(1), fields(MAX_FIELDS + 1), 431, Some("header-too-large")),
        ] {
            let (answered, body) = answer(&path, &fields).await;
            let urn = kind.map(|kind| json!(format!("urn:export-service:problem:{kind}")));
            assert_eq!((answered, body.get("type")), (status, urn.as_ref()));
        }
    }
}
