//! Reads a request's body within a size limit and a time limit.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::Problem;

/// The largest accepted body, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// The longest that a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole body. A `Content-Length` over [`MAX_BODY`] is rejected before anything is read; a chunked body is
/// rejected as soon as it exceeds the limit.
///
/// # Errors
/// 413 for a body over the limit, 408 after [`BODY_TIMEOUT`], 400 if the body ends early.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let content_length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if content_length.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Problem::body_too_large());
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::body_too_large()),
        Ok(Err(_)) => {
            Err(Problem::invalid("body", "body: the connection closed before the body was complete"))
        }
        Err(_) => Err(Problem::body_too_slow()),
    }
}

/// The JSON object in the body. Rejects with 415 or 400.
pub(super) fn json_object<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::not_json());
    }
    if is_compressed(headers) {
        return Err(Problem::compressed());
    }
    parse_object(bytes).ok_or_else(|| not_an_object(bytes))
}

/// The error of `serde_json` is dropped: it can quote the body, which holds the Hub token.
fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    serde_json::from_slice(bytes).ok().filter(|_| is_object)
}

fn not_an_object(bytes: &[u8]) -> Problem {
    let detail = match bytes {
        _ if bytes.trim_ascii().is_empty() => "body: is empty: send one JSON object",
        [0xef, 0xbb, 0xbf, ..] | [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => {
            "body: begins with a byte order mark: send UTF-8 without it"
        }
        _ => "body: must be one JSON object without duplicate field names",
    };
    Problem::invalid("body", detail)
}

fn is_compressed(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether `Content-Type` is `application/json` or `application/…+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
