//! Requests to the Hub with one policy of retries: failures that may pass are retried after a delay, and a quota is waited
//! for as long as the Hub says.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backon::Retryable as _;
use hf_hub::HFResult;
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::ExposeSecret as _;
use shared::domain::HubRepo;

use super::{
    Hub,
    error::{HubError, HubOperation},
    response::{self, HubResponse},
};
use crate::{error::JobError, hub_cause::HubCause};

/// Delay between requests when the quota is used up and the Hub does not say for how long.
const QUOTA_DELAY: Duration = Duration::from_secs(60);

/// Least time between two requests, whatever the Hub says.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

impl Hub {
    /// Blocks until the client's call succeeds, or fails for good.
    pub(super) fn request<T, F>(
        &self,
        operation: &HubOperation,
        mut call: impl FnMut() -> F,
    ) -> Result<T, JobError>
    where
        F: Future<Output = HFResult<T>>,
    {
        let call = || {
            let response = tokio::time::timeout(self.settings.deadline, call());
            async { self.checked(response.await.map_err(|_| HubError::Timeout)?).await }
        };
        self.runtime.block_on(self.with_retries(call)).map_err(|error| operation.failed(error))
    }

    /// Repeats `call` until it succeeds, or fails for good.
    pub(super) async fn with_retries<T, F>(&self, call: impl FnMut() -> F) -> Result<T, HubError>
    where
        F: Future<Output = Result<T, HubError>>,
    {
        let until = Instant::now() + self.settings.patience;
        let progress = Arc::clone(&self.progress);
        let result = call
            .retry(self.settings.retry_delays.into_iter())
            .when(|error| error.is_transient() && !self.progress.is_stopped())
            .adjust(|error: &HubError, delay| {
                let quota = (error.cause() == HubCause::RateLimited).then_some(QUOTA_DELAY);
                // a Hub that names no time at all is not asked again at once
                let wait = error.wait().or(delay).or(quota)?.max(SHORTEST_WAIT);
                Instant::now().checked_add(wait).is_some_and(|at| at <= until).then_some(wait)
            })
            .notify(|error, wait| self.announce(error, wait))
            .sleep(move |wait| {
                let progress = Arc::clone(&progress);
                async move { progress.sleep(wait).await }
            })
            .await;
        let is_given_up = |error: &HubError| error.is_transient() && self.progress.is_stopped();
        result.map_err(|error| if is_given_up(&error) { HubError::Stopped } else { error })
    }

    fn announce(&self, error: &HubError, wait: Duration) {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            ?wait,
            "a request to the Hub failed: retrying"
        );
        let seconds = wait.as_secs_f64().ceil();
        let quota = if error.cause() == HubCause::RateLimited { "'s quota" } else { "" };
        self.progress.begin_wait(format!("waiting {seconds} s for the Hugging Face Hub{quota}"));
    }

    /// The client's result. Of the Hub's headers, the client keeps `Retry-After` only, and that not always: how long to wait for
    /// the quota is asked for.
    pub(super) async fn checked<T>(&self, result: HFResult<T>) -> Result<T, HubError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let mut error = HubError::from(error);
        if let HubError::Response(response) = &mut error
            && response.cause() == HubCause::RateLimited
            && response.wait.is_none()
            && let Some(url) = response.url.take()
        {
            response.wait = self.quota_wait(url).await;
        }
        Err(error)
    }

    async fn quota_wait(&self, url: Url) -> Option<Duration> {
        match self.send(self.to_hub(Method::HEAD, url)).await {
            Ok(response) => response::wait(response.headers()),
            Err(HubError::Response(response)) => response.wait,
            Err(_) => None,
        }
    }

    /// A request to the Hub itself, with the caller's token.
    pub(super) fn to_hub(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends a request; an error status is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, HubError> {
        let response = request.timeout(self.settings.deadline).send().await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(HubError::Response(HubResponse::read(response).await));
        }
        Ok(response)
    }

    /// The page of a repository.
    pub(super) fn url_of(&self, repo: &HubRepo) -> String {
        format!("{}/{repo}", self.client.endpoint())
    }
}
