//! Middleware around every route: the request id, one log line per request, common headers, and a 500 after a panic.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::{health, size_limits};
use crate::{
    api::Problem,
    telemetry::{RequestTags, in_request},
};

/// Adds `/health` and the middleware to a function's routes. Call it last: it applies to the routes added before.
pub fn envelope(routes: Router) -> Router {
    routes
        .merge(health::route())
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(observe))
}

/// 204 for `OPTIONS`, else 405. In both cases the router adds the `Allow` header.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Problem::method_not_allowed().into_response()
    }
}

async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let tags = Arc::new(RequestTags::new(request.headers()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    in_request(Arc::clone(&tags), async move {
        let mut response = respond(request, next).await;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_str(&tags.id) {
            headers.insert("x-request-id", id);
        }
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        log_request(&tags, &method, route, response.status(), started);
        response
    })
    .await
}

/// The route's response, unless the request is too large, or a 500 if the route panics. The panic hook logs the panic.
async fn respond(request: Request, next: Next) -> Response {
    if let Some(problem) = size_limits::exceeded(&request) {
        return problem.into_response();
    }
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    response.unwrap_or_else(|_| Problem::internal().into_response())
}

fn log_request(tags: &RequestTags, method: &Method, route: &str, status: StatusCode, started: Instant) {
    let duration_ms = started.elapsed().as_secs_f64() * 1_000.0;
    tracing::info!(
        request_id = tags.id,
        %method,
        route,
        status = status.as_u16(),
        duration_ms,
        uid_hash = tags.caller(),
        "{method} {route} {}",
        status.as_u16()
    );
}
