//! Reads a request's body within a size limit and a time limit.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
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
    parse_object(bytes).map_err(|what| Problem::invalid("body", format!("body: {what}")))
}

/// Fails with what is wrong. The error of `serde_json` is dropped but for its kind and position: it can quote the body, which holds
/// the Hub token.
fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if matches!(bytes, [0xef, 0xbb, 0xbf, ..] | [0xfe, 0xff, ..] | [0xff, 0xfe, ..]) {
        return Err("begins with a byte order mark: send UTF-8 without it".to_owned());
    }
    // of fields that are ignored, `serde_json` does not check it
    let Ok(text) = str::from_utf8(bytes) else {
        return Err("is not UTF-8: send one JSON object in UTF-8".to_owned());
    };
    match text.trim_ascii_start().bytes().next() {
        None => Err("is empty: send one JSON object".to_owned()),
        Some(b'{') => serde_json::from_str(text).map_err(|error| what_is_wrong(&error)),
        Some(_) => Err("is not a JSON object: send one JSON object, which begins with {".to_owned()),
    }
}

fn what_is_wrong(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Eof => "ends before its JSON object does: send all of it".to_owned(),
        Category::Data if text.starts_with("duplicate field") => {
            format!("has a field for the second time at {position}: send each field once")
        }
        Category::Syntax if text.starts_with("trailing characters") => {
            format!("has text behind its JSON object at {position}: send one JSON object and nothing else")
        }
        Category::Syntax if text.starts_with("recursion limit exceeded") => {
            format!("has too many levels of arrays and objects at {position}: send fewer")
        }
        Category::Syntax => format!("is not valid JSON at {position}: correct it"),
        Category::Data | Category::Io => "must be one JSON object without duplicate field names".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_too_many_levels_is_told_so() {
        let refused = parse_object::<serde_json::Value>(format!("{{\"a\": {}", "[".repeat(200)).as_bytes());
        assert!(refused.unwrap_err().starts_with("has too many levels of arrays and objects at line 1, "));
    }
}
