//! Fetches keys over HTTPS.

use std::time::Duration;

use reqwest::header::CACHE_CONTROL;

use super::{KeysError, cache::KeySource, parse::KeySet};
use crate::adapters::http_client;

/// The timeout of a fetch.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest accepted response body, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// The endpoint of the keys.
pub(super) struct KeysEndpoint {
    url: String,
    client: Result<reqwest::Client, std::sync::Arc<reqwest::Error>>,
}

impl KeysEndpoint {
    pub(super) fn new(url: String) -> Self {
        Self { url, client: http_client::client(DEADLINE).map_err(Into::into) }
    }
}

impl KeySource for KeysEndpoint {
    async fn fetch(&self) -> Result<(KeySet, Duration), KeysError> {
        let client = self.client.as_ref().map_err(|error| KeysError::Client(error.clone()))?;
        let mut response = client.get(&self.url).send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(KeysError::Status(response.status().as_u16()));
        }
        let fresh_for = max_age(response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(KeysError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((KeySet::parse(&body).ok_or(KeysError::Unreadable)?, fresh_for))
    }
}

/// The smallest valid `max-age` directive, or zero. Malformed directives are ignored.
fn max_age(cache_control: Option<&str>) -> Duration {
    let directives = cache_control.unwrap_or_default().split(',').map(str::trim);
    let seconds = directives.filter_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        if name.eq_ignore_ascii_case("max-age") && digits { value.parse().ok() } else { None }
    });
    Duration::from_secs(seconds.min().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, routing::get};
    use tokio::net::TcpListener;

    use super::*;
    use crate::serve::serve;

    #[test]
    fn max_age_is_read_strictly() {
        let seconds = |text| max_age(Some(text)).as_secs();
        for (text, expected) in [
            ("public, max-age=21600, must-revalidate, no-transform", 21_600),
            ("max-age=100", 100),
            ("Max-Age=100", 100),
            ("max-age=100,max-age=50", 50),
            ("max-age: 100", 0),
            ("max-age2=100", 0),
            ("max-age=foo", 0),
            ("max-age=-1", 0),
            ("max-age=", 0),
            ("max-age=99999999999999999999", 0),
            ("", 0),
            ("private,", 0),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert_eq!(max_age(None).as_secs(), 0);
    }

    async fn serving(router: Router) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router, std::future::pending()));
        format!("http://{address}/keys")
    }

    /// Lets time pass as fast as it can from the request on.
    async fn hang() {
        tokio::time::pause();
        std::future::pending::<()>().await;
    }

    async fn fetched(router: Router) -> Result<(KeySet, Duration), KeysError> {
        KeysEndpoint::new(serving(router).await).fetch().await
    }

    #[tokio::test]
    async fn keys_have_the_freshness_lifetime_of_the_response() {
        let router =
            Router::new().route("/keys", get(async || ([("cache-control", "max-age=7")], r#"{"keys":[]}"#)));
        assert_eq!(fetched(router).await.unwrap().1, Duration::from_secs(7));
    }

    #[tokio::test]
    async fn an_invalid_response_is_an_error() {
        let large = async || format!(r#"{{"keys":[]{}}}"#, " ".repeat(MAX_BODY));
        assert!(matches!(fetched(Router::new().route("/keys", get(large))).await, Err(KeysError::TooLarge)));
        let html = Router::new().route("/keys", get(async || "<html>"));
        assert!(matches!(fetched(html).await, Err(KeysError::Unreadable)));
        let broken = Router::new().route("/keys", get(async || StatusCode::SERVICE_UNAVAILABLE));
        assert!(matches!(fetched(broken).await, Err(KeysError::Status(503))));
        let redirect =
            Router::new().route("/keys", get(async || axum::response::Redirect::temporary("/other")));
        assert!(matches!(fetched(redirect).await, Err(KeysError::Status(307))));
        assert!(matches!(
            KeysEndpoint::new("http://127.0.0.1:1/".to_owned()).fetch().await,
            Err(KeysError::Request(_))
        ));
    }

    #[tokio::test]
    async fn a_fetch_times_out() {
        let hanging = Router::new().route("/keys", get(hang));
        let started = tokio::time::Instant::now();
        assert!(matches!(fetched(hanging).await, Err(KeysError::Request(_))));
        assert!((DEADLINE..2 * DEADLINE).contains(&started.elapsed()));
    }
}
