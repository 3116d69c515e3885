//! Tags that all log lines of a request share.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::UserId;

tokio::task_local! {
    static REQUEST: Arc<RequestTags>;
}

/// The tags of one request.
#[derive(Debug)]
pub struct RequestTags {
    /// The request id in the response. The client's id if it is valid, else a random one.
    pub id: String,
    /// The trace id, 32 hexadecimal digits.
    pub trace: Option<String>,
    caller: OnceLock<String>,
}

impl RequestTags {
    /// Reads `X-Request-Id`, `traceparent` and `X-Cloud-Trace-Context`.
    #[must_use]
    pub fn new(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let valid = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let id = text("x-request-id").filter(valid).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        let trace = text("traceparent")
            .and_then(|value| value.split('-').nth(1))
            .or_else(|| text("x-cloud-trace-context").and_then(|value| value.split('/').next()))
            .filter(|trace| trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase);
        Self { id, trace, caller: OnceLock::new() }
    }

    /// Stores a hash of the uid, which allows finding the requests of a user without logging the uid.
    pub fn set_caller(&self, caller: &UserId) {
        let digest = Sha256::digest(caller.as_str());
        let hash = hex::encode(&digest[..6]);
        // Fails if the caller is already set; it is the same caller.
        let _ = self.caller.set(hash);
    }

    /// The hash of the caller's uid, once authenticated.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        self.caller.get().map(String::as_str)
    }
}

/// Runs `future` with these tags.
pub async fn in_request<F: Future>(tags: Arc<RequestTags>, future: F) -> F::Output {
    REQUEST.scope(tags, future).await
}

/// The tags of the current request, if there is one.
#[must_use]
pub fn current() -> Option<Arc<RequestTags>> {
    REQUEST.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(name: &'static str, value: &str) -> RequestTags {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        RequestTags::new(&headers)
    }

    #[test]
    fn a_valid_request_id_is_kept_and_an_invalid_one_replaced() {
        assert_eq!(tags("x-request-id", "abc-1.2_3").id, "abc-1.2_3");
        for odd in ["", "a b", "{\"x\":1}", "ü", &"x".repeat(65)] {
            assert!(Uuid::parse_str(&tags("x-request-id", odd).id).is_ok(), "{odd}");
        }
    }

    #[test]
    fn the_trace_is_read_from_either_header() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(tags("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")).trace.unwrap(), trace);
        assert_eq!(tags("x-cloud-trace-context", &format!("{trace}/123;o=1")).trace.unwrap(), trace);
        for bad in ["", "00-short-x-01", "garbage/1", "00-zzf7651916cd43dd8448eb211c80319c-x-01"] {
            assert_eq!(tags("traceparent", bad).trace, None, "{bad}");
        }
    }
}
