//! Sends requests to a router without a socket, and captures log lines.

use std::{
    io,
    sync::{Arc, Mutex, Once, PoisonError},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use super::contract;
use crate::{
    adapters::tls,
    telemetry::{LogFormat, subscriber},
};

/// The request id that [`request`] sends.
pub const REQUEST_ID: &str = "request-1";

/// An HTTP client.
#[must_use]
pub fn client() -> reqwest::Client {
    tls::install_provider();
    reqwest::Client::new()
}

/// A response with its whole body.
#[derive(Debug)]
pub struct TestResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl TestResponse {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The value of a header; empty if it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request with that method, path and token.
///
/// # Panics
/// If they do not form a valid request.
#[must_use]
pub fn request(method: &str, path: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("x-request-id", REQUEST_ID);
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).expect("a request")
}

/// `POST /exports` with that token and body.
#[must_use]
pub fn post(token: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = request("POST", "/exports", token);
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    *request.body_mut() = body.into();
    request
}

/// Sends a request to a function and validates the response against the OpenAPI document.
///
/// # Panics
/// If the response is incomplete or is not in the OpenAPI document.
pub async fn send(function: &Router, request: Request<Body>) -> TestResponse {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = exchange(function, request).await;
    contract::check(&method, &path, &response);
    response
}

/// Sends a request to a router without validating the response.
///
/// # Panics
/// If the response is incomplete.
pub async fn exchange(router: &Router, request: Request<Body>) -> TestResponse {
    enable_all_log_events();
    let Ok(response) = router.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    TestResponse { status: parts.status, headers: parts.headers, body }
}

/// Installs a global subscriber that discards events. Without one, an event that another thread logs for the first time
/// while a capture starts can stay disabled in the capture.
fn enable_all_log_events() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails if the test has installed a subscriber of its own, which has the same effect.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    });
}

/// Captures log lines as JSON.
#[derive(Debug, Clone, Default)]
pub struct CapturedLogs(Arc<Mutex<Vec<u8>>>);

impl CapturedLogs {
    /// Captures the log lines of this thread until the guard is dropped.
    #[must_use]
    pub fn capture(&self) -> tracing::subscriber::DefaultGuard {
        enable_all_log_events();
        let format = LogFormat::Json { project: Some(super::fixtures::PROJECT.to_owned()) };
        tracing::subscriber::set_default(subscriber(format, self.clone()))
    }

    /// The captured text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// The captured lines.
    ///
    /// # Panics
    /// If a line is not JSON.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl io::Write for CapturedLogs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for CapturedLogs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
