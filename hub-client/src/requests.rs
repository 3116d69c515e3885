//! Requests to the Hub with one policy of retries: failures that may pass are retried after a delay, and a quota is waited
//! for as long as the Hub says.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backon::Retryable as _;
use reqwest::{
    Method, RequestBuilder, Response, Url, header,
    redirect::{Action, Attempt, Policy},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Handle;

use crate::{
    cause::HubCause,
    error::HubError,
    response::{self, HubResponse},
    settings::HubSettings,
};

/// Delay between requests when the quota is used up and the Hub does not say for how long.
const QUOTA_DELAY: Duration = Duration::from_secs(60);

/// Least time between two requests, whatever the Hub says.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Redirects of one request that are followed, as for a repository that was renamed.
const MAX_REDIRECTS: usize = 5;

/// Time between two checks, during a wait, whether the requests are stopped.
const STOP_INTERVAL: Duration = Duration::from_millis(250);

/// Is told of the waits between retries, and ends them.
pub trait RetryMonitor: Send + Sync {
    /// Whether to give up.
    fn is_stopped(&self) -> bool;

    /// A wait begins. The message says for how long, and for what.
    fn begin_wait(&self, message: String);

    /// A wait has ended.
    fn end_wait(&self);
}

/// A client of the Hub with one token. Its blocking methods must not be called on a thread of the runtime.
pub struct HubClient {
    /// Follows redirects within the Hub, and not those to the storage behind it.
    http: reqwest::Client,
    settings: HubSettings,
    endpoint: Url,
    token: Option<SecretString>,
    monitor: Arc<dyn RetryMonitor>,
    runtime: Handle,
}

impl HubClient {
    /// # Errors
    /// [`HubError::Request`] when the endpoint is not a URL, or the system has no certificates.
    pub fn new(
        settings: &HubSettings,
        token: Option<SecretString>,
        monitor: Arc<dyn RetryMonitor>,
        runtime: Handle,
    ) -> Result<Arc<Self>, HubError> {
        let endpoint = Url::parse(&settings.endpoint).map_err(HubError::invalid_request)?;
        // the first provider of cryptography in a process stays
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(Policy::custom(follow_within_origin)).build();
        let http = http.map_err(HubError::invalid_request)?;
        Ok(Arc::new(Self { http, settings: settings.clone(), endpoint, token, monitor, runtime }))
    }

    /// The endpoint and the timeouts.
    #[must_use]
    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// Runs a request to its end, on this thread.
    pub fn block_on<F: Future>(&self, request: F) -> F::Output {
        self.runtime.block_on(request)
    }

    /// Repeats `call` until it succeeds, or fails for good.
    ///
    /// # Errors
    /// The last error of `call`; [`HubError::Stopped`] when the monitor gives up.
    pub async fn with_retries<T, F>(&self, call: impl FnMut() -> F) -> Result<T, HubError>
    where
        F: Future<Output = Result<T, HubError>>,
    {
        let until = self.settings.ends_at.unwrap_or_else(|| Instant::now() + self.settings.patience);
        let monitor = Arc::clone(&self.monitor);
        let result = call
            .retry(self.settings.retry_delays.into_iter())
            .when(|error| error.is_transient() && !self.monitor.is_stopped())
            .adjust(|error: &HubError, delay| {
                let quota = (error.cause() == HubCause::RateLimited).then_some(QUOTA_DELAY);
                // a Hub that names no time at all is not asked again at once
                let wait = error.wait().or(delay).or(quota)?.max(SHORTEST_WAIT);
                Instant::now().checked_add(wait).is_some_and(|at| at <= until).then_some(wait)
            })
            .notify(|error, wait| self.announce(error, wait))
            .sleep(move |wait| sleep(Arc::clone(&monitor), wait))
            .await;
        let is_given_up = |error: &HubError| error.is_transient() && self.monitor.is_stopped();
        result.map_err(|error| if is_given_up(&error) { HubError::Stopped } else { error })
    }

    /// Waits on this thread, until the time is over or the requests are stopped.
    pub fn wait(&self, time: Duration, message: String) {
        self.monitor.begin_wait(message);
        self.block_on(sleep(Arc::clone(&self.monitor), time));
    }

    fn announce(&self, error: &HubError, wait: Duration) {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            ?wait,
            "a request to the Hub failed: retrying"
        );
        let seconds = wait.as_secs_f64().ceil();
        let quota = if error.cause() == HubCause::RateLimited { "'s quota" } else { "" };
        self.monitor.begin_wait(format!("waiting {seconds} s for the Hugging Face Hub{quota}"));
    }

    /// Requests `url` of the Hub. Where it names a quota and not how long it lasts, it is asked for that.
    pub(crate) async fn get(&self, url: Url) -> Result<Response, HubError> {
        match self.send_to_api(self.to_hub(Method::GET, url.clone())).await {
            Ok(response) => Ok(response),
            Err(error) => Err(self.with_wait(error, url).await),
        }
    }

    /// The error of a request for `url`, with the wait for the quota: if the Hub has not said how long, it is asked.
    pub async fn with_wait(&self, mut error: HubError, url: Url) -> HubError {
        if let HubError::Response(response) = &mut error
            && response.cause() == HubCause::RateLimited
            && response.wait.is_none()
        {
            response.wait = self.quota_wait(url).await;
        }
        error
    }

    /// How long the Hub asks to wait, if it says so when it is asked for the headers of `url` only.
    async fn quota_wait(&self, url: Url) -> Option<Duration> {
        match self.send(self.to_hub(Method::HEAD, url)).await {
            Ok(response) => response::wait(response.headers()),
            Err(HubError::Response(response)) => response.wait,
            Err(_) => None,
        }
    }

    /// A request to the Hub itself, with the caller's token.
    pub fn to_hub(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// A request to the storage behind the Hub, which refuses the token.
    pub(crate) fn to_storage(&self, url: Url) -> RequestBuilder {
        self.http.get(url)
    }

    /// Sends a request to the Hub's API.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`HubError::Redirected`] where another server would have to be asked.
    pub async fn send_to_api(&self, request: RequestBuilder) -> Result<Response, HubError> {
        let response = self.send(request).await?;
        match redirect_target(&response) {
            Some(target) => Err(HubError::Redirected(target.origin().ascii_serialization())),
            None => Ok(response),
        }
    }

    /// Sends a request; an error status is an error. The response can be a redirect to another server.
    ///
    /// # Errors
    /// [`HubError::Response`] for an error status, [`HubError::Timeout`] and [`HubError::Connection`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, HubError> {
        let response = request.timeout(self.settings.deadline).send().await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(HubError::Response(Box::new(HubResponse::read(response).await)));
        }
        Ok(response)
    }

    /// A URL of the Hub; each segment is encoded.
    pub fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// Where a redirect points to.
pub(crate) fn redirect_target(response: &Response) -> Option<Url> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    response.status().is_redirection().then(|| response.url().join(location).ok())?
}

fn follow_within_origin(attempt: Attempt<'_>) -> Action {
    let is_within = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if !is_within {
        attempt.stop()
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}

async fn sleep(monitor: Arc<dyn RetryMonitor>, time: Duration) {
    let until = Instant::now() + time;
    while !monitor.is_stopped() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        tokio::time::sleep(left.min(STOP_INTERVAL)).await;
    }
    monitor.end_wait();
}
