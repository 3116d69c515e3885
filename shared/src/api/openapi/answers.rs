//! What comes back: the answers of each status, and the headers that they carry.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{
    AllOfBuilder, Content, Header, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
    extensions::Extensions, header::HeaderBuilder,
};

use super::{ids::text, the};
use crate::api::{ProblemKind, problem};

/// The answers of an operation by status.
pub(super) type Answers = BTreeMap<String, Response>;

/// 200 with that, then the problems of those kinds.
pub(super) fn answers(description: &str, found: impl Into<RefOr<Schema>>, kinds: &[ProblemKind]) -> Answers {
    let found = plain(description).content("application/json", Content::new(Some(found)));
    let mut answers = BTreeMap::from([("200".to_owned(), found.build())]);
    for kind in kinds {
        let status = kind.status();
        let same: Vec<_> = kinds.iter().copied().filter(|kind| kind.status() == status).collect();
        answers.insert(status.as_str().to_owned(), problem(&same));
    }
    answers
}

fn plain(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header_ref("X-Request-Id", Ref::new("#/components/headers/RequestId"))
        .header_ref("Cache-Control", Ref::new("#/components/headers/NoStore"))
}

/// The answer to what went wrong in one of those ways, all of one status.
fn problem(kinds: &[ProblemKind]) -> Response {
    let description: Vec<_> = kinds.iter().map(|kind| when(*kind)).collect();
    let urns: Vec<_> = kinds.iter().map(|kind| kind.urn()).collect();
    let statuses: Vec<_> = kinds.first().iter().map(|kind| kind.status().as_u16()).collect();
    let these = ObjectBuilder::new()
        .property("type", text().enum_values(Some(urns)))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(statuses)));
    let schema = AllOfBuilder::new().item(the::<problem::Body<'_>>()).item(these);
    let response = plain(&description.join(" Or: "))
        .content("application/problem+json", Content::new(Some(RefOr::T(schema.into()))));
    if kinds.contains(&ProblemKind::Unauthenticated) {
        return response.header_ref("WWW-Authenticate", Ref::new("#/components/headers/Challenge")).build();
    }
    response.build()
}

fn when(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::InvalidRequest => "The request is wrong by itself: `field` says where.",
        ProblemKind::NotCompleted => "The training job is not completed.",
        ProblemKind::Unauthenticated => "There is no ID token, or not a good one.",
        ProblemKind::NotOwner => "The training job is another account's, or nobody's.",
        ProblemKind::NoSuchJob => "There is no training job of this id.",
        ProblemKind::NoSuchPath => "There is nothing at this path.",
        ProblemKind::MethodNotAllowed => "The path does not take this method.",
        ProblemKind::BodyTooSlow => "The body took more than 10 seconds to arrive.",
        ProblemKind::BodyTooLarge => "The body is over 16 KiB.",
        ProblemKind::NotJson => "The body is not called JSON.",
        ProblemKind::Internal => "Something went wrong on our side. Report the `request_id`.",
    }
}

/// The `type`s of all problems.
pub(in crate::api) fn urns() -> RefOr<Schema> {
    text().enum_values(Some(ProblemKind::ALL.map(ProblemKind::urn))).into()
}

/// The headers that answers refer to.
pub(super) fn headers() -> [(String, RefOr<Header>); 3] {
    let header = |schema: ObjectBuilder, description: &str| {
        // the builder has no such member: <https://spec.openapis.org/oas/v3.1.1.html#header-object>
        let required = Extensions::from_iter([("required", Value::from(true))]);
        let schema: RefOr<Schema> = schema.into();
        HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description))
            .extensions(Some(required))
            .build()
    };
    let id = text().min_length(Some(1)).max_length(Some(64)).pattern(Some("^[A-Za-z0-9_.-]+$"));
    let challenge = text().pattern(Some(r#"^Bearer realm="export""#));
    [
        ("RequestId", header(id, "The request's id, also in our log: yours, if you sent a plain one.")),
        ("NoStore", header(text().enum_values(Some([json!("no-store")])), "Answers are not to be kept.")),
        ("Challenge", header(challenge, "RFC 6750. `error_description` says what is wrong with the token.")),
    ]
    .map(|(name, header)| (name.to_owned(), header.into()))
}
