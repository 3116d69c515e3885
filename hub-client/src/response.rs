//! Error responses of the Hub: status, error code, message, and how long to wait.
//!
//! The headers: <https://huggingface.co/docs/hub/rate-limits>, and `hf_raise_for_status` of `huggingface_hub`.

use std::{fmt, time::Duration};

use jiff::{Timestamp, fmt::rfc2822};
use redaction::redact;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::cause::HubCause;

/// Longest message of the Hub that is repeated, in characters.
const MAX_MESSAGE_LENGTH: usize = 240;
/// Longest body that is searched for a message, in bytes.
const MAX_BODY_LENGTH: usize = 64 << 10;

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubResponse {
    /// The status of HTTP.
    pub status: u16,
    /// `X-Error-Code`.
    code: Option<String>,
    /// The Hub's own message, in one line and without secrets.
    pub message: Option<String>,
    /// How long to wait before the next request.
    pub wait: Option<Duration>,
}

/// The body of an error response.
#[derive(Deserialize)]
struct ErrorBody {
    error: Option<String>,
    /// Of the Git LFS API.
    message: Option<String>,
}

impl HubResponse {
    /// Reads the response, whose status is an error.
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body =
            response.bytes().await.ok().filter(|body| body.len() <= MAX_BODY_LENGTH).unwrap_or_default();
        let header = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            status,
            code: header("x-error-code"),
            message: header("x-error-message")
                .or_else(|| Self::message_in(&body))
                .and_then(|text| cleaned(&text)),
            wait: wait(&headers),
        }
    }

    /// A response that another client has read: its status, error code and body.
    #[must_use]
    pub fn new(status: u16, code: Option<&str>, message: Option<&str>) -> Self {
        let (code, message) = (code.map(str::to_owned), message.and_then(cleaned));
        Self { status, code, message, wait: None }
    }

    /// The message in the body of a response.
    #[must_use]
    pub fn message_in(body: &[u8]) -> Option<String> {
        let body: ErrorBody = serde_json::from_slice(body).ok()?;
        body.error.or(body.message)
    }

    /// The cause that status, code and message name.
    #[must_use]
    pub fn cause(&self) -> HubCause {
        let says = |words: &[&str]| {
            let message = self.message.as_deref().unwrap_or_default().to_lowercase();
            words.iter().any(|word| message.contains(word))
        };
        match (self.code.as_deref(), self.status) {
            (Some("GatedRepo"), _) => HubCause::Gated,
            (Some("RepoNotFound"), _) => HubCause::MissingRepository,
            (Some("RevisionNotFound"), _) => HubCause::MissingRevision,
            (Some("EntryNotFound"), _) => HubCause::MissingFile,
            (_, 401) if says(&["credentials", "token"]) => HubCause::InvalidToken,
            (_, 401 | 404) => HubCause::MissingRepository,
            (_, 402) => HubCause::StorageLimit,
            (_, 403) if says(&["storage"]) => HubCause::StorageLimit,
            (_, 403) if says(&["is disabled"]) => HubCause::Disabled,
            (_, 403) => HubCause::Denied,
            (_, 451) => HubCause::Disabled,
            // one commit at a time in a repository, and one new repository at a time of a user
            (_, 409) if says(&["in progress"]) => HubCause::Unavailable,
            (_, 409 | 412) => HubCause::Conflict,
            (_, 429) => HubCause::RateLimited,
            (_, 408 | 504) => HubCause::Timeout,
            (_, 400..500) => HubCause::Rejected,
            _ => HubCause::Unavailable,
        }
    }
}

impl fmt::Display for HubResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Hub returned {}", self.status)?;
        self.code.as_ref().map_or(Ok(()), |code| write!(f, " {code}"))?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
    }
}

/// One line of limited length without secrets, and without the query of a URL, which can be a signature.
fn cleaned(message: &str) -> Option<String> {
    let redacted = redact(message);
    let without_query = |word: &str| match word.split_once('?') {
        Some((url, _)) if url.contains("://") => url.to_owned(),
        _ => word.to_owned(),
    };
    let words: Vec<_> = redacted.split_whitespace().map(without_query).collect();
    let line = words.join(" ");
    let text: String = line.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_LENGTH).collect();
    let shortened = if text.len() < line.len() { "…" } else { "" };
    (!text.is_empty()).then(|| format!("{text}{shortened}"))
}

/// `Retry-After: 95`, or its date; or the time until the quota is full again: `RateLimit: "api";r=0;t=95`.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    let date = |text: &str| Some(rfc2822::parse(text.trim()).ok()?.timestamp());
    // by the server's clock, if the response has its time
    let now = || text(DATE.as_str()).and_then(date).unwrap_or_else(Timestamp::now);
    let until = |text: &str| Some(Duration::try_from(date(text)?.duration_since(now())).unwrap_or_default());
    let parameter = |parameters: &str, name: &str| {
        parameters.split([';', ',']).find_map(|one| one.trim().strip_prefix(name).and_then(seconds))
    };
    text(RETRY_AFTER.as_str()).and_then(|text| seconds(text).or_else(|| until(text))).or_else(|| {
        text("ratelimit")
            .filter(|quota| parameter(quota, "r=") == Some(Duration::ZERO))
            .and_then(|quota| parameter(quota, "t="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(reqwest::header::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn the_time_to_wait_is_in_either_header() {
        let seconds = |name, value| wait(&headers(name, value)).map(|wait| wait.as_secs());
        assert_eq!(seconds("retry-after", "95"), Some(95));
        assert_eq!(seconds("ratelimit", "\"api\";r=0;t=55"), Some(55));
        assert_eq!(seconds("ratelimit", "\"resolvers\"; r=0; t=7"), Some(7));
        assert_eq!(seconds("ratelimit", "\"api\";r=4;t=55"), None, "there are requests left");
        assert_eq!(seconds("retry-after", "in a while"), None);
    }

    #[test]
    fn a_date_is_read_by_the_clock_of_the_server() {
        let mut headers = headers("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(wait(&headers), Some(Duration::ZERO), "the date has passed");
        headers.insert("date", "Wed, 21 Oct 2015 07:26:25 GMT".parse().unwrap());
        assert_eq!(wait(&headers), Some(Duration::from_secs(95)));
    }

    #[test]
    fn a_message_is_one_bounded_line_without_secrets() {
        let message = "see\n https://cdn.test/a?Signature=abc123def&x=1 of hf_AbCdEfGhIjKlMnOpQrStUvWx";
        assert_eq!(cleaned(message).unwrap(), "see https://cdn.test/a of [redacted]");
        assert_eq!(cleaned(&"é".repeat(500)).unwrap().chars().count(), MAX_MESSAGE_LENGTH + 1);
        assert_eq!(cleaned(" \n"), None);
        assert_eq!(HubResponse::message_in(br#"{"message": "of Git LFS"}"#).as_deref(), Some("of Git LFS"));
    }
}
