//! Requests to the public API of a service (docs/API.md).

use std::time::Duration;

use backon::Retryable as _;
use reqwest::redirect::Policy;
use reqwest::{Method, Response, Url, header};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::error::{Refusal, ServiceError};
use super::session::Session;
use crate::failure::{Failure, FailureKind};
use crate::terminal::Terminal;

/// How long an answer may take; a plan reads headers of models.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a connection may take, and how long no byte of a download may come.
const STALL: Duration = Duration::from_secs(20);

/// Delays before a request is repeated, in seconds.
const DELAYS: [u64; 5] = [1, 2, 4, 8, 16];

/// The longest time that is waited because the service asks for it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A client of one service.
pub(crate) struct ServiceClient {
    /// Follows no redirects.
    http: reqwest::Client,
    pub(crate) session: Session,
    pub(crate) terminal: Terminal,
}

/// A request of the API.
pub(crate) struct ApiRequest<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'a str, String)>,
    body: Option<Value>,
    /// Makes a repeated request harmless.
    key: Option<String>,
    is_repeatable: bool,
}

impl<'a> ApiRequest<'a> {
    /// The segments of the path are encoded.
    pub(crate) fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            method: Method::GET,
            path: path.into_iter().collect(),
            query: Vec::new(),
            body: None,
            key: None,
            is_repeatable: true,
        }
    }

    /// One that changes nothing.
    pub(crate) fn post(path: impl IntoIterator<Item = &'a str>, body: Option<Value>) -> Self {
        Self { method: Method::POST, body, ..Self::get(path) }
    }

    pub(crate) fn query(mut self, name: &'a str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(crate) fn with_key(mut self, key: String) -> Self {
        self.key = Some(key);
        self
    }

    /// It is sent once, because sent twice it would do more.
    pub(crate) fn once(mut self) -> Self {
        self.is_repeatable = false;
        self
    }
}

/// An answer of the API.
pub(crate) struct ApiAnswer {
    pub(crate) body: Value,
    /// The target of the header `Link` with `rel="next"`.
    pub(crate) next: Option<Url>,
}

impl ServiceClient {
    pub(crate) fn new(session: Session, terminal: Terminal) -> Result<Self, Failure> {
        Ok(Self { http: http_client()?, session, terminal })
    }

    /// Sends a request, and repeats it while that may help.
    pub(crate) async fn send(&self, request: &ApiRequest<'_>) -> Result<ApiAnswer, ServiceError> {
        let may_repeat = |error: &ServiceError| {
            // with a key, the answer would be the same again
            request.is_repeatable && error.is_transient() && !(request.key.is_some() && error.is_internal())
        };
        let send = || self.send_once(request);
        send.retry(DELAYS.map(Duration::from_secs).into_iter())
            .when(may_repeat)
            .adjust(|error: &ServiceError, delay| {
                match (delay, error.refusal().and_then(|refusal| refusal.retry_after)) {
                    (Some(delay), Some(wait)) => (wait <= LONGEST_WAIT).then_some(wait.max(delay)),
                    (delay, _) => delay,
                }
            })
            .notify(|error, wait| {
                let what =
                    error.refusal().map_or("the service does not answer".to_owned(), Refusal::while_waiting);
                self.terminal.note(&format!("{what}; trying again in {} s", wait.as_secs()));
            })
            .await
    }

    async fn send_once(&self, request: &ApiRequest<'_>) -> Result<ApiAnswer, ServiceError> {
        let response = self.send_with_token(request, false).await?;
        let response = match response.status().as_u16() {
            // an ID token can expire, or be revoked, before the time that it names
            401 if self.session.is_renewable() => self.send_with_token(request, true).await?,
            _ => response,
        };
        if !response.status().is_success() {
            return Err(ServiceError::read(response).await);
        }
        let links = response.headers().get(header::LINK).and_then(|link| link.to_str().ok());
        let next = links.and_then(hub_client::next_page).and_then(|next| response.url().join(next).ok());
        let text = response.bytes().await.map_err(ServiceError::no_answer)?;
        let body = serde_json::from_slice(&text).map_err(|_| {
            ServiceError::NotSent(Failure::remote(
                "the answer is not JSON: check that the address is that of an Export Service",
            ))
        })?;
        Ok(ApiAnswer { body, next })
    }

    async fn send_with_token(&self, request: &ApiRequest<'_>, renew: bool) -> Result<Response, ServiceError> {
        check_path(&request.path)?;
        let mut url = self.session.service.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(&request.path);
        }
        let token = self.session.token(&self.http, renew).await?;
        let mut builder = self.http.request(request.method.clone(), url).timeout(DEADLINE);
        builder = builder.bearer_auth(token.expose_secret()).query(&request.query);
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        if let Some(key) = &request.key {
            builder = builder.header("Idempotency-Key", key);
        }
        builder.send().await.map_err(ServiceError::no_answer)
    }

    /// Requests a download link from `offset` on. It needs no token, and gets none.
    pub(crate) async fn download(&self, link: &str, offset: u64) -> Result<Response, ServiceError> {
        let link = Url::parse(link);
        let link =
            link.map_err(|_| ServiceError::NotSent(Failure::remote("a download link is not a URL")))?;
        let request = self.http.get(link).header(header::RANGE, format!("bytes={offset}-"));
        let response = request.send().await.map_err(ServiceError::no_answer)?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(ServiceError::read(response).await),
        }
    }
}

/// Refuses what no URL has as a segment of its path: the request would be another one.
fn check_path(path: &[&str]) -> Result<(), ServiceError> {
    let ids = ["job_id", "export_id"].into_iter().zip(path.iter().skip(1).step_by(2));
    for (field, id) in ids {
        let rule = match *id {
            "" => "must not be empty",
            "." | ".." => "must not be . or ..",
            _ => continue,
        };
        return Err(ServiceError::NotSent(Failure::new(FailureKind::Usage, format!("{field}: {rule}"))));
    }
    Ok(())
}

pub(crate) fn http_client() -> Result<reqwest::Client, Failure> {
    let agent = concat!("gemma-export/", env!("CARGO_PKG_VERSION"));
    let http =
        reqwest::Client::builder().redirect(Policy::none()).connect_timeout(STALL).read_timeout(DEADLINE);
    http.user_agent(agent).build().map_err(|error| {
        Failure::remote(format!("no requests can be sent ({error}): install CA certificates"))
    })
}
