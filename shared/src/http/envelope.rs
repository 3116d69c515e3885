//! Around every route: an id, one line in the log, headers, and an answer even to a panic.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::health;
use crate::{
    api::Problem,
    telemetry::{RequestTags, in_request},
};

/// Puts the envelope around a function's routes, and `/health` beside them. Call it last: it covers what was added
/// before.
pub fn envelope(routes: Router) -> Router {
    routes
        .merge(health::route())
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(observe))
}

/// `OPTIONS` asks which methods there are; the router's `Allow` header says so in either case.
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
        let mut response = answer(request, next).await;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_str(&tags.id) {
            headers.insert("x-request-id", id);
        }
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        log(&tags, &method, route, response.status(), started);
        response
    })
    .await
}

/// The route's answer; a panic is logged by the hook and answered like any other failure inside.
async fn answer(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| Problem::internal().into_response())
}

fn log(tags: &RequestTags, method: &Method, route: &str, status: StatusCode, started: Instant) {
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
