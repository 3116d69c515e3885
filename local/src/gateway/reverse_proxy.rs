//! Forwards requests to functions and returns their responses, as Hosting does, for every method.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use reqwest::Url;
use serde_json::json;
use shared::{
    api::Problem,
    http::body,
    telemetry::{self, RequestTags, in_request},
};

/// The timeout of Hosting for a service.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Headers that are not forwarded (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An HTTP client that forwards requests.
#[derive(Debug, Clone)]
pub(crate) struct ReverseProxy(reqwest::Client);

impl ReverseProxy {
    /// A proxy that follows no redirects and ignores proxy settings of the environment.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self(client))
    }

    /// Forwards the request to that path of the service at `to`, and returns the response. A refusal of its own has a
    /// request id, as the service's responses have.
    pub(crate) async fn pass(&self, to: SocketAddr, path: &str, request: Request) -> Response {
        let tags = Arc::new(RequestTags::new(request.headers()));
        let id = HeaderValue::from_str(&tags.id);
        let mut response = in_request(tags, self.forward(to, path, request)).await;
        if let Ok(id) = id {
            response.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
        response
    }

    async fn forward(&self, to: SocketAddr, path: &str, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let body = match body::read(&parts.headers, body).await {
            Ok(body) => body,
            Err(problem) => {
                let refusal = problem.into_response();
                if refusal.status() != StatusCode::PAYLOAD_TOO_LARGE {
                    return refusal;
                }
                parts.headers.remove(header::CONTENT_LENGTH);
                too_large()
            }
        };
        let Some(url) = service_url(to, path, parts.uri.query()) else {
            return Problem::no_such_path().into_response();
        };
        let host = parts.headers.remove(header::HOST);
        // the gateway has compared it with the host, which is another one for the service
        parts.headers.remove(header::ORIGIN);
        strip(&mut parts.headers);
        if let Some(host) = host {
            parts.headers.insert(HeaderName::from_static("x-forwarded-host"), host);
        }
        parts.headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("http"));
        let sent = self.0.request(parts.method, url).headers(parts.headers).body(body).send().await;
        match sent {
            Ok(answer) => {
                let status = answer.status();
                let mut headers = answer.headers().clone();
                strip(&mut headers);
                let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                response
            }
            Err(error) => {
                let status =
                    if error.is_timeout() { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
                let id = telemetry::current().map(|tags| tags.id.clone());
                tracing::error!(
                    request_id = id,
                    error = &error as &dyn std::error::Error,
                    "a function did not respond"
                );
                no_answer(status)
            }
        }
    }
}

/// What is forwarded instead of a body over the limit. The service refuses it by its length, after what it checks before, and
/// with its own headers.
fn too_large() -> Bytes {
    vec![b' '; body::MAX_BODY + 1].into()
}

/// The URL of a path of the service at `to`. The path cannot change host or port.
fn service_url(to: SocketAddr, path: &str, query: Option<&str>) -> Option<Url> {
    let mut url = Url::parse(&format!("http://{to}/")).ok()?;
    url.set_path(path);
    url.set_query(query);
    Some(url)
}

/// The problem of a function that does not answer.
fn no_answer(status: StatusCode) -> Response {
    let detail = "the function did not answer: try again; the reason is in logs/stack.log of the data folder";
    let title = status.canonical_reason().unwrap_or_default();
    let problem = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
        "request_id": telemetry::current().map_or_else(String::new, |tags| tags.id.clone()),
    });
    let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, content_type, problem.to_string()).into_response()
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}
