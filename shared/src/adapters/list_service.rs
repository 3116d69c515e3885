//! Forwards `GET /exports` to the function `list`. The user's token stays in `Authorization`; the identity token of this
//! function, which Cloud Run requires, is sent in `X-Serverless-Authorization`.
//!
//! <https://cloud.google.com/run/docs/authenticating/service-to-service>

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
    routing::{MethodRouter, get},
};
use tokio::time::timeout;

use super::http_client;
use crate::{api::Problem, auth::APP_CHECK_HEADER, config, domain::Error, ports::PortError, telemetry};

/// The timeout of the whole request.
const DEADLINE: Duration = Duration::from_secs(10);

const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-serverless-authorization");

/// The request headers that are forwarded.
const REQUEST_HEADERS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    APP_CHECK_HEADER,
    header::ACCEPT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-cloud-trace-context"),
];

/// The response headers that are forwarded.
const RESPONSE_HEADERS: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::LINK, header::WWW_AUTHENTICATE];

#[derive(Debug, thiserror::Error)]
enum ListServiceError {
    #[error("no response within {DEADLINE:?}")]
    Deadline,
    #[error("the HTTP client could not be created")]
    Client(#[source] Arc<reqwest::Error>),
    #[error("the identity token could not be fetched")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the response with status {0} is not from the function list")]
    UnexpectedResponse(u16),
}

impl From<ListServiceError> for Error {
    fn from(failure: ListServiceError) -> Self {
        PortError::Unavailable { what: "the function list", source: failure.into() }.into()
    }
}

/// The identity of this function, which Cloud Run requires of a caller.
#[async_trait]
pub trait IdentityTokens: Send + Sync {
    /// The value of the header `Authorization` for the service at `audience`.
    ///
    /// # Errors
    /// If there is no token.
    async fn header(
        &self,
        audience: &url::Origin,
    ) -> Result<Option<HeaderValue>, Box<dyn std::error::Error + Send + Sync>>;
}

struct ListService {
    url: url::Url,
    client: Result<reqwest::Client, Arc<reqwest::Error>>,
    identity: Option<Arc<dyn IdentityTokens>>,
}

/// Routes GET and HEAD to the function `list`; `None` if no URL is configured. Without `identity` no identity token is sent.
#[must_use]
pub fn routes(
    settings: config::ListServiceConfig,
    identity: Option<Arc<dyn IdentityTokens>>,
) -> Option<MethodRouter> {
    let client = http_client::client(DEADLINE).map_err(Into::into);
    let service = ListService { url: settings.list_url?, client, identity };
    Some(get(forward).with_state(Arc::new(service)))
}

async fn forward(State(list): State<Arc<ListService>>, request: Request) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    let response = timeout(DEADLINE, list.send(&request)).await;
    Ok(response.map_err(|_| ListServiceError::Deadline).flatten().map_err(Error::from)?)
}

impl ListService {
    async fn send(&self, request: &Parts) -> Result<Response, ListServiceError> {
        let client = self.client.as_ref().map_err(|error| ListServiceError::Client(Arc::clone(error)))?;
        let mut url = self.url.clone();
        url.set_path(&format!("{}/exports", url.path().trim_end_matches('/')));
        url.set_query(request.uri.query());
        let mut request_headers = select_headers(&request.headers, &REQUEST_HEADERS);
        if let Some(id) = telemetry::current().and_then(|tags| HeaderValue::from_str(&tags.id).ok()) {
            request_headers.insert("x-request-id", id);
        }
        if let Some(identity) = self.identity_token().await? {
            request_headers.insert(IDENTITY_HEADER, identity);
        }
        let forwarded = client.request(request.method.clone(), url).headers(request_headers).send().await?;
        let kind =
            forwarded.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        // For example an error page of Cloud Run, if it rejects the identity token.
        if kind != b"application/json" && kind != b"application/problem+json" {
            return Err(ListServiceError::UnexpectedResponse(forwarded.status().as_u16()));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = forwarded.status();
        *response.headers_mut() = select_headers(forwarded.headers(), &RESPONSE_HEADERS);
        *response.body_mut() = Body::from(forwarded.bytes().await?);
        Ok(response)
    }

    async fn identity_token(&self) -> Result<Option<HeaderValue>, ListServiceError> {
        let Some(identity) = &self.identity else { return Ok(None) };
        identity.header(&self.url.origin()).await.map_err(ListServiceError::Identity)
    }
}

/// The headers of `all` with those names, including repeated ones, which `list` rejects.
fn select_headers(all: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut selected = HeaderMap::new();
    for name in names {
        for value in all.get_all(name) {
            selected.append(name.clone(), value.clone());
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, response::IntoResponse};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        http::envelope,
        serve::serve,
        testing::http::{REQUEST_ID, TestResponse, exchange, request},
    };

    async fn forwarded_to(list: MethodRouter) -> TestResponse {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let list_url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(serve(listener, Router::new().route("/exports", list), std::future::pending()));
        let settings = config::ListServiceConfig { list_url: Some(list_url), with_identity: false };
        let router = envelope(Router::new().route("/exports", routes(settings, None).unwrap()));
        let mut request = request("GET", "/exports?page_size=1&page_token=%C3%BC", Some("the.callers.token"));
        request.headers_mut().insert(APP_CHECK_HEADER, "an.app.token".parse().unwrap());
        request.headers_mut().insert("cookie", "session=1".parse().unwrap());
        request.headers_mut().insert(IDENTITY_HEADER, "Bearer forged".parse().unwrap());
        exchange(&router, request).await
    }

    #[tokio::test]
    async fn only_the_listed_headers_are_forwarded_to_list() {
        let echo = get(async |uri: axum::http::Uri, headers: HeaderMap| {
            let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
            let body = axum::Json([
                uri.query().map(str::to_owned),
                text("authorization"),
                text("x-firebase-appcheck"),
                text("x-request-id"),
                text("cookie"),
                text("x-serverless-authorization"),
            ]);
            ([(header::LINK, "</exports>; rel=\"next\"")], body)
        });
        let response = forwarded_to(echo).await;
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.header("link"), "</exports>; rel=\"next\"");
        let query = "page_size=1&page_token=%C3%BC";
        let expected =
            serde_json::json!([query, "Bearer the.callers.token", "an.app.token", REQUEST_ID, null, null]);
        assert_eq!(response.json(), expected);
    }

    #[tokio::test]
    async fn error_responses_of_list_are_forwarded() {
        let response = forwarded_to(get(async || {
            let headers = [("content-type", "application/problem+json"), ("www-authenticate", "Bearer")];
            (StatusCode::UNAUTHORIZED, headers, "{}").into_response()
        }))
        .await;
        assert_eq!((response.status.as_u16(), response.header("www-authenticate")), (401, "Bearer"));
        assert_eq!(
            (response.header("content-type"), response.body.as_str()),
            ("application/problem+json", "{}")
        );
    }

    #[tokio::test]
    async fn an_unexpected_response_is_an_internal_error() {
        let page = get(async || {
            (StatusCode::FORBIDDEN, axum::response::Html("Your client does not have permission"))
        });
        for list in [
            page,
            get(async || -> StatusCode { panic!("list broke") }),
            get(async || {
                // it passes as fast as it can from now on
                tokio::time::pause();
                std::future::pending::<()>().await;
            }),
        ] {
            let started = tokio::time::Instant::now();
            let response = forwarded_to(list).await;
            assert_eq!(response.status.as_u16(), 500);
            assert!(!response.body.contains("permission"));
            assert!(started.elapsed() < 2 * DEADLINE);
        }
    }
}
