//! Passes `GET /exports` on to the function `list`, as it came. The caller's token stays in `Authorization`; our own
//! identity, which Cloud Run asks for, goes in `X-Serverless-Authorization`.
//!
//! <https://cloud.google.com/run/docs/authenticating/service-to-service>

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::Response,
    routing::{MethodRouter, get},
};
use gcloud_sdk::{GoogleAuthHeaders, IdTokenAudience};
use tokio::{sync::OnceCell, time::timeout};

use super::http_client;
use crate::{api::Problem, config, domain::Error, ports::PortError, telemetry};

/// The longest that the whole answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

const IDENTITY: HeaderName = HeaderName::from_static("x-serverless-authorization");

/// What `list` is told of the request.
const PASSED_ON: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-cloud-trace-context"),
];

/// What the caller is told of the answer.
const PASSED_BACK: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::WWW_AUTHENTICATE];

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {DEADLINE:?}")]
    Deadline,
    #[error("no client")]
    Client(#[source] Arc<reqwest::Error>),
    #[error("no identity token")]
    Identity(#[from] gcloud_sdk::error::Error),
    #[error("no answer")]
    Request(#[from] reqwest::Error),
    #[error("the answer, with status {0}, is not list's")]
    NotLists(u16),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        PortError::Unavailable { what: "the function list", source: failure.into() }.into()
    }
}

struct ListService {
    url: url::Url,
    client: Result<reqwest::Client, Arc<reqwest::Error>>,
    /// Where nothing is deployed there is no identity, and nobody asks for one.
    identity: Option<OnceCell<GoogleAuthHeaders>>,
}

/// Answers GET and HEAD with what `list` answers; `None` when the settings name none.
#[must_use]
pub fn routes(settings: config::Forward) -> Option<MethodRouter> {
    let service = ListService {
        url: settings.list_url?,
        client: http_client::client(DEADLINE).map_err(Into::into),
        identity: settings.with_identity.then(OnceCell::new),
    };
    Some(get(forward).with_state(Arc::new(service)))
}

async fn forward(State(list): State<Arc<ListService>>, request: Request) -> Result<Response, Problem> {
    let answer = timeout(DEADLINE, list.ask(request.method(), request.headers())).await;
    Ok(answer.map_err(|_| Failure::Deadline).flatten().map_err(Error::from)?)
}

impl ListService {
    async fn ask(&self, method: &Method, headers: &HeaderMap) -> Result<Response, Failure> {
        let client = self.client.as_ref().map_err(|error| Failure::Client(Arc::clone(error)))?;
        let mut url = self.url.clone();
        url.set_path(&format!("{}/exports", url.path().trim_end_matches('/')));
        let mut sent = chosen(headers, &PASSED_ON);
        if let Some(id) = telemetry::current().and_then(|tags| HeaderValue::from_str(&tags.id).ok()) {
            sent.insert("x-request-id", id);
        }
        if let Some(identity) = self.identity().await? {
            sent.insert(IDENTITY, identity);
        }
        let answer = client.request(method.clone(), url).headers(sent).send().await?;
        let kind = answer.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        // Pages of the platform, about an identity that it does not take, are not for the caller.
        if kind != b"application/json" && kind != b"application/problem+json" {
            return Err(Failure::NotLists(answer.status().as_u16()));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = chosen(answer.headers(), &PASSED_BACK);
        *response.body_mut() = Body::from(answer.bytes().await?);
        Ok(response)
    }

    async fn identity(&self) -> Result<Option<HeaderValue>, Failure> {
        let Some(identity) = &self.identity else { return Ok(None) };
        let audience = IdTokenAudience::new(self.url.origin().ascii_serialization());
        let tokens = identity.get_or_try_init(|| GoogleAuthHeaders::id_token_from_adc(&audience)).await?;
        Ok(tokens.headers().await?.get(header::AUTHORIZATION).cloned())
    }
}

/// Those headers of `all`, also where one stands several times: it is for `list` to refuse that.
fn chosen(all: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut chosen = HeaderMap::new();
    for name in names {
        for value in all.get_all(name) {
            chosen.append(name.clone(), value.clone());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, response::IntoResponse};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        http::envelope,
        serve::serve,
        testing::http::{Answer, REQUEST_ID, exchange, request},
    };

    async fn answered_by(list: MethodRouter) -> Answer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let list_url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(serve(listener, Router::new().route("/exports", list), std::future::pending()));
        let settings = config::Forward { list_url: Some(list_url), with_identity: false };
        let router = envelope(Router::new().route("/exports", routes(settings).unwrap()));
        let mut request = request("GET", "/exports", Some("the.callers.token"));
        request.headers_mut().insert("cookie", "session=1".parse().unwrap());
        request.headers_mut().insert(IDENTITY, "Bearer forged".parse().unwrap());
        exchange(&router, request).await
    }

    #[tokio::test]
    async fn the_callers_token_goes_to_list_and_nothing_else_of_theirs() {
        let echo = get(async |headers: HeaderMap| {
            let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
            axum::Json([
                text("authorization"),
                text("x-request-id"),
                text("cookie"),
                text("x-serverless-authorization"),
            ])
        });
        let answer = answered_by(echo).await;
        assert_eq!(answer.status, StatusCode::OK);
        let expected = serde_json::json!(["Bearer the.callers.token", REQUEST_ID, null, null]);
        assert_eq!(answer.json(), expected);
    }

    #[tokio::test]
    async fn lists_refusals_are_passed_back() {
        let answer = answered_by(get(async || {
            let headers = [("content-type", "application/problem+json"), ("www-authenticate", "Bearer")];
            (StatusCode::UNAUTHORIZED, headers, "{}").into_response()
        }))
        .await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"));
        assert_eq!((answer.header("content-type"), answer.body.as_str()), ("application/problem+json", "{}"));
    }

    #[tokio::test]
    async fn what_is_not_lists_answer_is_an_error_of_ours() {
        let page = get(async || {
            (StatusCode::FORBIDDEN, axum::response::Html("Your client does not have permission"))
        });
        for list in [
            page,
            get(async || std::future::pending::<()>().await),
            get(async || -> StatusCode { panic!("list broke") }),
        ] {
            let started = std::time::Instant::now();
            let answer = answered_by(list).await;
            assert_eq!(answer.status.as_u16(), 500);
            assert!(!answer.body.contains("permission"));
            assert!(started.elapsed() < DEADLINE + Duration::from_secs(1));
        }
    }
}
