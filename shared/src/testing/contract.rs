//! Validates responses against the OpenAPI document, so that every response in a test is documented.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::http::TestResponse;
use crate::api::{ProblemKind, openapi};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&openapi::json()).expect("the document is JSON"));

/// Checks that the OpenAPI document describes this response to a request with that method and path.
///
/// # Panics
/// If it does not.
pub(super) fn check(method: &Method, path: &str, response: &TestResponse) {
    let problem = serde_json::from_str::<Value>(&response.body).unwrap_or_default();
    let no_route = problem["type"] == ProblemKind::NoSuchPath.urn();
    if no_route || *method == Method::OPTIONS || response.status == StatusCode::METHOD_NOT_ALLOWED {
        // These belong to no operation; the description text covers them.
        return;
    }
    let documented = &operation(method, path)["responses"][response.status.as_str()];
    let what = format!("{method} {path}: {}", response.status);
    assert!(documented.is_object(), "{what} is not in the OpenAPI document");
    for (name, header) in documented["headers"].as_object().into_iter().flatten() {
        let is_required = header["$ref"].as_str().is_some_and(|reference| {
            DOCUMENT
                .pointer(reference.trim_start_matches('#'))
                .is_some_and(|header| header["required"] == true)
        });
        let is_missing = is_required && !response.headers.contains_key(name);
        assert!(!is_missing, "{what} lacks the header {name}");
    }
    check_body(&what, &documented["content"], response);
}

fn operation<'a>(method: &Method, path: &str) -> &'a Value {
    let method = method.as_str().to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let route = match segments.as_slice() {
        ["exports", _, "cancel"] => "/exports/{job_id}/cancel",
        ["exports", _, "history"] => "/exports/{job_id}/history",
        ["exports", _, "history", _] => "/exports/{job_id}/history/{export_id}",
        ["health" | "exports" | "plans"] => path,
        _ => "/exports/{job_id}",
    };
    &DOCUMENT["paths"][route][method]
}

fn check_body(what: &str, content: &Value, response: &TestResponse) {
    if content.is_null() {
        assert!(response.body.is_empty(), "{what} has a body that is not in the OpenAPI document");
        return;
    }
    let kind = response.header(header::CONTENT_TYPE.as_str());
    let mut schema = content[kind]["schema"].clone();
    assert!(schema.is_object(), "{what}: {kind} is not in the OpenAPI document");
    schema["components"] = json!({ "schemas": DOCUMENT["components"]["schemas"] });
    let validator = jsonschema::draft202012::new(&schema).expect("the document has valid schemas");
    if let Err(error) = validator.validate(&response.json()) {
        panic!("{what}: {error} at {}: {}", error.instance_path(), response.body);
    }
}
