//! The responses of each operation, and their headers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{
    AllOfBuilder, Content, Header, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
    extensions::Extensions, header::HeaderBuilder,
};

use super::{ids::text, schema_ref};
use crate::api::{ProblemKind, problem};

/// The responses of an operation, by status.
pub(super) type ResponsesByStatus = BTreeMap<String, Response>;

/// A 200 with the schema `success`, and one error response for each status among `kinds`, and for what is too large for every
/// operation.
pub(super) fn responses(
    description: &str,
    success: impl Into<RefOr<Schema>>,
    kinds: &[ProblemKind],
) -> ResponsesByStatus {
    let success = response(description).content("application/json", Content::new(Some(success)));
    let mut responses = BTreeMap::from([("200".to_owned(), success.build())]);
    let kinds = [kinds, &[ProblemKind::UriTooLong, ProblemKind::HeaderTooLarge]].concat();
    for kind in &kinds {
        let status = kind.status();
        let same: Vec<_> = kinds.iter().copied().filter(|kind| kind.status() == status).collect();
        responses.insert(status.as_str().to_owned(), problem_response(&same));
    }
    responses
}

/// A response with the headers that every response has.
fn response(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header_ref("X-Request-Id", Ref::new("#/components/headers/RequestId"))
        .header_ref("Cache-Control", Ref::new("#/components/headers/NoStore"))
}

/// The error response for `kinds`, which share one status.
fn problem_response(kinds: &[ProblemKind]) -> Response {
    let description: Vec<_> = kinds.iter().map(|kind| condition(*kind)).collect();
    let urns: Vec<_> = kinds.iter().map(|kind| kind.urn()).collect();
    let statuses: Vec<_> = kinds.first().iter().map(|kind| kind.status().as_u16()).collect();
    let constraints = ObjectBuilder::new()
        .property("type", text().enum_values(Some(urns)))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(statuses)));
    let schema = AllOfBuilder::new().item(schema_ref::<problem::ProblemBody<'_>>()).item(constraints);
    let response = response(&description.join(" Or: "))
        .content("application/problem+json", Content::new(Some(RefOr::T(schema.into()))));
    if kinds.contains(&ProblemKind::Unauthenticated) {
        return response.header_ref("WWW-Authenticate", Ref::new("#/components/headers/Challenge")).build();
    }
    response.build()
}

/// When a response has this problem type.
fn condition(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::InvalidRequest => "The request is invalid; `field` names the invalid field.",
        ProblemKind::NotCompleted => "The training job is not completed.",
        ProblemKind::Unauthenticated => "The ID token is missing or invalid.",
        ProblemKind::UnverifiedApp => {
            "The deployment requires App Check, and `X-Firebase-AppCheck` is missing or invalid."
        }
        ProblemKind::NotOwner => "The training job belongs to another user, or has no owner.",
        ProblemKind::NoSuchJob => "The training job does not exist.",
        ProblemKind::CannotBeExported => {
            "The export would fail: `detail` is the message that it would have, and `field` names the field that has to be changed, \
             if it is one."
        }
        ProblemKind::KeyReused => "The key was sent with another request within the last 24 hours.",
        ProblemKind::NoSuchExport => "The export does not exist, or is of another training job.",
        ProblemKind::NotRunning => {
            "No export is running, or the export has ended or is about to be completed."
        }
        ProblemKind::NoSuchPath => "The path does not exist.",
        ProblemKind::MethodNotAllowed => "The path does not support this method.",
        ProblemKind::BodyTooSlow => "The body took more than 10 seconds to arrive.",
        ProblemKind::BodyTooLarge => "The body is larger than 16 KiB.",
        ProblemKind::UriTooLong => "The path and the query are larger than 16 KiB.",
        ProblemKind::NotJson => "`Content-Type` is not `application/json`, or the body is compressed.",
        ProblemKind::TooManyExports => {
            "The caller has as many running exports, or exports within 24 hours, as the deployment allows."
        }
        ProblemKind::HubUnavailable => {
            "The Hugging Face Hub cannot be reached, fails, or limits the rate of requests: `detail` says which. Ask again \
             after `Retry-After` seconds."
        }
        ProblemKind::HeaderTooLarge => "The header is larger than 128 KiB, or has more than 100 fields.",
        ProblemKind::Internal => "Internal error. If it persists, report the `request_id`.",
    }
}

/// The schema of `type`: the URNs of all problem types.
pub(in crate::api) fn urns() -> RefOr<Schema> {
    text().enum_values(Some(ProblemKind::ALL.map(ProblemKind::urn))).into()
}

/// The headers that responses refer to.
pub(super) fn headers() -> [(String, RefOr<Header>); 9] {
    // The builder has no `required`: <https://spec.openapis.org/oas/v3.1.1.html#header-object>
    let required = || Extensions::from_iter([("required", Value::from(true))]);
    let optional = |schema: ObjectBuilder, description: &str| {
        let schema: RefOr<Schema> = schema.into();
        HeaderBuilder::new().schema(Some(schema)).description(Some(description))
    };
    let header = |schema: ObjectBuilder, description: &str| {
        optional(schema, description).extensions(Some(required())).build()
    };
    let id = text().min_length(Some(1)).max_length(Some(64)).pattern(Some("^[A-Za-z0-9_.-]+$"));
    let challenge = text().pattern(Some(r#"^Bearer realm="export""#));
    [
        (
            "RequestId",
            header(
                id,
                "The request id, which is also in the service's log. A valid id in the request is kept.",
            ),
        ),
        ("NoStore", header(text().enum_values(Some([json!("no-store")])), "Responses must not be cached.")),
        (
            "NextPage",
            optional(text(), "RFC 8288: the next page has `rel=\"next\"`; absent on the last page.").build(),
        ),
        ("ExportPath", header(text(), "The path of the export, which follows it also when another has begun since.")),
        (
            "Replayed",
            optional(
                text().enum_values(Some([json!("true")])),
                "The response repeats that of the first request with this `Idempotency-Key`; absent on the first.",
            )
            .build(),
        ),
        (
            "RateLimitPolicy",
            optional(text(), "The limits of each caller; absent without limits. `running`: exports at the same time; `daily`: exports within 24 hours.").build(),
        ),
        (
            "RateLimit",
            optional(text(), "What is left of the limits (`r`), and in how many seconds more is (`t`); absent without limits.").build(),
        ),
        (
            "RetryAfter",
            header(
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)),
                "The seconds to wait before the next request.",
            ),
        ),
        ("Challenge", header(challenge, "RFC 6750. `error_description` names what is wrong with the token.")),
    ]
    .map(|(name, header)| (name.to_owned(), header.into()))
}
