//! Every error: RFC 9457 problem details. The one place where an [`Error`] becomes a status.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    domain::{Error, Unauthenticated},
    telemetry,
};

/// An answer that is not a success.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    field: Option<&'static str>,
    challenge: Option<Unauthenticated>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    request_id: &'a str,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), field: None, challenge: None }
    }

    /// 400: the request is wrong by itself, in that field.
    #[must_use]
    pub fn invalid(field: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem =
            Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request is not valid", detail);
        Self { field: Some(field), ..problem }
    }

    /// 404 for a path that is not the service's.
    #[must_use]
    pub fn no_such_path() -> Self {
        let detail = "there is nothing at this path: see the API's documentation";
        Self::new(StatusCode::NOT_FOUND, "no-such-path", "There is nothing here", detail)
    }

    /// 405; the `Allow` header is the router's.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let detail = "this path does not take this method: the Allow header names those it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed", detail)
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub fn body_too_slow() -> Self {
        let detail = "the body did not arrive in time: send it at once";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body is too slow", detail)
    }

    /// 413.
    #[must_use]
    pub fn body_too_large() -> Self {
        let detail = "the body must not be over 16 KiB";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
    }

    /// 415.
    #[must_use]
    pub fn not_json() -> Self {
        let detail = "the body must be JSON: send it with Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail)
    }

    /// 500. What happened is in the log, under the request's id.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "something went wrong on our side: try again, and if it stays so, report the request_id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Unauthenticated(why) => {
                let title = "Sign-in is required";
                let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", title, detail);
                Self { challenge: Some(why), ..problem }
            }
            Error::Invalid(invalid) => Self::invalid(invalid.field, detail),
            Error::NoSuchJob(_) => {
                Self::new(StatusCode::NOT_FOUND, "no-such-job", "The training job does not exist", detail)
            }
            Error::NotOwner => {
                Self::new(StatusCode::FORBIDDEN, "not-owner", "The training job is not yours", detail)
            }
            Error::NotCompleted { .. } => {
                let title = "The training job is not completed";
                Self::new(StatusCode::BAD_REQUEST, "not-completed", title, detail)
            }
            Error::Internal(source) => {
                let source: &dyn std::error::Error = &source;
                tracing::error!(error = source, "a request failed inside");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let tags = telemetry::current();
        let body = Body {
            kind: format!("urn:export-service:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field,
            request_id: tags.as_ref().map_or("", |tags| tags.id.as_str()),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge.and_then(|why| challenge(why).parse().ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// RFC 6750, section 3.1: no error code for a request that brought no token.
fn challenge(why: Unauthenticated) -> String {
    let realm = r#"Bearer realm="export""#;
    match why {
        Unauthenticated::Missing => realm.to_owned(),
        Unauthenticated::NotBearer => {
            format!(r#"{realm}, error="invalid_request", error_description="{why}""#)
        }
        Unauthenticated::Malformed
        | Unauthenticated::Algorithm
        | Unauthenticated::UnknownKey
        | Unauthenticated::Signature
        | Unauthenticated::WrongProject
        | Unauthenticated::Subject
        | Unauthenticated::Expired
        | Unauthenticated::NotYetValid => {
            format!(r#"{realm}, error="invalid_token", error_description="{why}""#)
        }
    }
}
