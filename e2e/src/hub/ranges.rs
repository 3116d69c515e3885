//! Responses with a file or a range of it.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

/// The bytes, or the range of them that the request asks for.
pub(super) fn respond(method: &Method, headers: &HeaderMap, bytes: &[u8]) -> Response {
    let range = headers.get(header::RANGE).and_then(|range| parse_range(range, bytes.len()));
    let (status, (start, end)) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, (0, bytes.len())),
    };
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(bytes[start..end].to_vec()) };
    let mut response = (status, body).into_response();
    let mut set = |name, value: String| {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("")))
    };
    set(header::CONTENT_LENGTH, (end - start).to_string());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, format!("bytes {start}-{}/{}", end - 1, bytes.len()));
    }
    response
}

fn parse_range(range: &HeaderValue, length: usize) -> Option<(usize, usize)> {
    let (start, end) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = start.parse().ok()?;
    let end = if end.is_empty() { length } else { end.parse::<usize>().ok()? + 1 };
    (start < end && end <= length).then_some((start, end))
}
