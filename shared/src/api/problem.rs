//! Error responses: RFC 9457 problem details. The only mapping from an [`Error`] to a status.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{ProblemKind, rate_limit};
use crate::{
    domain::{CallerQuotas, Error, Unauthenticated},
    telemetry,
};

/// An error response.
#[derive(Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    field: Option<&'static str>,
    challenge: Option<Unauthenticated>,
    quotas: Option<CallerQuotas>,
    /// In seconds.
    retry_after: Option<u64>,
}

/// Problem details (RFC 9457).
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub(super) struct ProblemBody<'a> {
    /// The problem type, for programs.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::urns))]
    kind: String,
    /// A short description of the problem type.
    title: &'a str,
    /// The HTTP status.
    #[cfg_attr(feature = "openapi", schema(minimum = 400, maximum = 599))]
    status: u16,
    /// What is wrong and what to do about it, for people.
    detail: &'a str,
    /// The field of the request that has to be changed, or `body` for the whole body. Absent if the problem is about something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    field: Option<&'a str>,
    /// The request id, as in `X-Request-Id` and in the service's log.
    request_id: &'a str,
}

impl Problem {
    fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), field: None, challenge: None, quotas: None, retry_after: None }
    }

    /// 400: `field` of the request is invalid.
    #[must_use]
    pub fn invalid(field: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field), ..Self::new(ProblemKind::InvalidRequest, detail) }
    }

    /// 404 for a path without a route.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(ProblemKind::NoSuchPath, "this path does not exist: see the API documentation")
    }

    /// 405. The router adds the `Allow` header.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let detail = "this path does not support this method: see the Allow header";
        Self::new(ProblemKind::MethodNotAllowed, detail)
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub fn body_too_slow() -> Self {
        Self::new(
            ProblemKind::BodyTooSlow,
            "the body did not arrive within 10 seconds: send it without pauses",
        )
    }

    /// 413.
    #[must_use]
    pub fn body_too_large() -> Self {
        Self::new(ProblemKind::BodyTooLarge, "the body is larger than 16 KiB")
    }

    /// 414.
    #[must_use]
    pub fn uri_too_long() -> Self {
        Self::new(ProblemKind::UriTooLong, "the path and the query have over 16 KiB: shorten them")
    }

    /// 431.
    #[must_use]
    pub fn header_too_large() -> Self {
        let detail = "the header has over 128 KiB or 100 fields: send fewer or shorter ones";
        Self::new(ProblemKind::HeaderTooLarge, detail)
    }

    /// 415.
    #[must_use]
    pub fn not_json() -> Self {
        let detail = "Content-Type is not application/json: send a JSON body with that Content-Type";
        Self::new(ProblemKind::NotJson, detail)
    }

    /// 415.
    #[must_use]
    pub fn compressed() -> Self {
        let detail = "the body is compressed: send it without Content-Encoding";
        Self::new(ProblemKind::NotJson, detail)
    }

    /// 500. The cause is only in the log, under the request id.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "internal error: try again; if it persists, report the request_id";
        Self::new(ProblemKind::Internal, detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Unauthenticated(why) => {
                Self { challenge: Some(why), ..Self::new(ProblemKind::Unauthenticated, detail) }
            }
            // RFC 9110, section 15.5.2: a 401 has a challenge
            Error::UnverifiedApp(_) => Self {
                challenge: Some(Unauthenticated::Missing),
                ..Self::new(ProblemKind::UnverifiedApp, detail)
            },
            Error::Invalid(invalid) => Self::invalid(invalid.field, detail),
            Error::NoSuchJob(_) => Self::new(ProblemKind::NoSuchJob, detail),
            Error::NoSuchExport(_) => Self::new(ProblemKind::NoSuchExport, detail),
            Error::NotRunning | Error::Ended(_) | Error::Finishing(_) => {
                Self::new(ProblemKind::NotRunning, detail)
            }
            Error::NotOwner => Self::new(ProblemKind::NotOwner, detail),
            Error::NotCompleted { .. } => Self::new(ProblemKind::NotCompleted, detail),
            Error::CannotBeExported { field, .. } => {
                Self { field, ..Self::new(ProblemKind::CannotBeExported, detail) }
            }
            Error::KeyReused => Self::new(ProblemKind::KeyReused, detail),
            Error::TooManyExports(quotas) => Self {
                retry_after: Some(quotas.retry_after()),
                quotas: Some(quotas),
                ..Self::new(ProblemKind::TooManyExports, detail)
            },
            Error::HubUnavailable { retry_after, .. } => Self {
                retry_after: Some(retry_after.as_secs().max(1)),
                ..Self::new(ProblemKind::HubUnavailable, detail)
            },
            Error::Internal(source) => {
                let source: &(dyn std::error::Error + 'static) = &*source;
                tracing::error!(error = source, "a request failed with an internal error");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let tags = telemetry::current();
        let body = ProblemBody {
            kind: self.kind.urn(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            field: self.field,
            request_id: tags.as_ref().map_or("", |tags| tags.id.as_str()),
        };
        let mut response = (self.kind.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge.and_then(|why| challenge(why).parse().ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(quotas) = self.quotas {
            headers.extend(rate_limit::state(&quotas).map(|state| (rate_limit::STATE, state)));
        }
        response
    }
}

/// The `WWW-Authenticate` header. RFC 6750, section 3.1: no error code for a request without a token.
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
