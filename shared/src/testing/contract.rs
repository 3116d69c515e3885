//! Holds answers to the API's description, so that none of it is undocumented, whoever provokes it.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::http::Answer;
use crate::api::{ProblemKind, openapi};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&openapi::json()).expect("the description is JSON"));

/// Checks that the answer to a request by that method and path is one of those that the description gives.
///
/// # Panics
/// When it is not.
pub(super) fn check(method: &Method, path: &str, answer: &Answer) {
    let problem = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
    let no_route = problem["type"] == ProblemKind::NoSuchPath.urn();
    if no_route || *method == Method::OPTIONS || answer.status == StatusCode::METHOD_NOT_ALLOWED {
        // of no operation: the description has them in words
        return;
    }
    let described = &operation(method, path)["responses"][answer.status.as_str()];
    let what = format!("{method} {path}: {}", answer.status);
    assert!(described.is_object(), "{what} is not in the API's description");
    for name in described["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(answer.headers.contains_key(name), "{what} lacks the header {name}");
    }
    body(&what, &described["content"], answer);
}

fn operation<'a>(method: &Method, path: &str) -> &'a Value {
    let method = method.as_str().to_ascii_lowercase();
    let route = match path {
        "/health" | "/exports" => path,
        _ => "/exports/{job_id}",
    };
    &DOCUMENT["paths"][route][method]
}

fn body(what: &str, content: &Value, answer: &Answer) {
    if content.is_null() {
        assert!(answer.body.is_empty(), "{what} has a body that is not in the API's description");
        return;
    }
    let kind = answer.header(header::CONTENT_TYPE.as_str());
    let mut schema = content[kind]["schema"].clone();
    assert!(schema.is_object(), "{what}: {kind} is not in the API's description");
    schema["components"] = json!({ "schemas": DOCUMENT["components"]["schemas"] });
    let validator = jsonschema::draft202012::new(&schema).expect("the description holds schemas");
    if let Err(error) = validator.validate(&answer.json()) {
        panic!("{what}: {error} at {}: {}", error.instance_path(), answer.body);
    }
}
