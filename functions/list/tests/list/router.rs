//! `GET /exports`.

use std::sync::Arc;

use axum::Router;
use list::{Context, router};
use serde_json::json;
use shared::{
    adapters::documents::TRAINING_JOBS,
    auth::Verifier,
    testing::{
        FixedKeys, MemoryStore, TokenSigner, fixtures,
        http::{CapturedLogs, REQUEST_ID, request, send},
    },
};

fn function(store: &Arc<MemoryStore>) -> Router {
    let callers = Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default()));
    router(Context { callers, jobs: Arc::clone(store) as _ })
}

fn adas_token() -> String {
    TokenSigner::first().token(fixtures::ADA)
}

#[tokio::test]
async fn health_needs_no_token() {
    let response = send(&function(&Arc::default()), request("GET", "/health", None)).await;
    assert_eq!(
        (response.status.as_u16(), response.body.as_str()),
        (200, r#"{"status":"healthy","service":"export"}"#)
    );
}

#[tokio::test]
async fn it_lists_the_completed_jobs_of_the_caller() {
    let store = Arc::new(MemoryStore::default());
    store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
    store.put(TRAINING_JOBS, "bobs", fixtures::training_job(fixtures::BOB));
    store.put(TRAINING_JOBS, "bare", json!({"user_id": fixtures::ADA, "status": "completed"}));
    let response = send(&function(&store), request("GET", "/exports", Some(&adas_token()))).await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (200, "application/json"));
    assert_eq!((response.header("cache-control"), response.header("x-request-id")), ("no-store", REQUEST_ID));
    insta::assert_json_snapshot!(response.json(), @r#"
    [
      {
        "adapter_path": "gs://models/adapters/job-1",
        "artifacts": {
          "file": {
            "adapter": null,
            "gguf": null,
            "merged": null
          },
          "hf": {
            "adapter": null,
            "gguf": null,
            "merged": null
          },
          "raw": {
            "adapter": "gs://models/adapters/job-1",
            "merged": null
          }
        },
        "base_model_id": "google/gemma-3-1b-it",
        "created_at": "2026-05-01T12:00:00Z",
        "job_id": "job-1",
        "job_name": "Support bot",
        "modality": "text",
        "user_id": "ada-uid"
      },
      {
        "adapter_path": null,
        "artifacts": {
          "file": {
            "adapter": null,
            "gguf": null,
            "merged": null
          },
          "hf": {
            "adapter": null,
            "gguf": null,
            "merged": null
          },
          "raw": {
            "adapter": null,
            "merged": null
          }
        },
        "base_model_id": null,
        "created_at": null,
        "job_id": "bare",
        "job_name": null,
        "modality": "text",
        "user_id": "ada-uid"
      }
    ]
    "#);
}

#[tokio::test]
async fn a_missing_or_invalid_token_is_rejected() {
    let router = function(&Arc::default());
    let missing = send(&router, request("GET", "/exports", None)).await;
    assert_eq!(
        (missing.status.as_u16(), missing.header("www-authenticate")),
        (401, r#"Bearer realm="export""#)
    );
    assert_eq!(missing.header("content-type"), "application/problem+json");
    insta::assert_json_snapshot!(missing.json(), @r#"
    {
      "detail": "a valid Firebase ID token is required: send `Authorization: Bearer <token>`",
      "request_id": "request-1",
      "status": 401,
      "title": "Sign-in is required",
      "type": "urn:export-service:problem:unauthenticated"
    }
    "#);

    let bad = send(&router, request("GET", "/exports", Some("x.y.z"))).await;
    let challenge = r#"Bearer realm="export", error="invalid_token", error_description="malformed""#;
    assert_eq!((bad.status.as_u16(), bad.header("www-authenticate")), (401, challenge));

    let query = format!("/exports?access_token={}", adas_token());
    assert_eq!(send(&router, request("GET", &query, None)).await.status.as_u16(), 401);
}

#[tokio::test]
async fn identity_headers_of_gateways_are_ignored() {
    let mut forged = request("GET", "/exports", None);
    forged.headers_mut().insert("x-apigateway-api-userinfo", "eyJzdWIiOiJhZGEtdWlkIn0".parse().unwrap());
    forged
        .headers_mut()
        .insert("x-serverless-authorization", format!("Bearer {}", adas_token()).parse().unwrap());
    assert_eq!(send(&function(&Arc::default()), forged).await.status.as_u16(), 401);
}

#[tokio::test]
async fn a_store_failure_is_only_described_in_the_log() {
    let store = Arc::new(MemoryStore::default());
    store.fail_next("list", 1);
    let logs = CapturedLogs::default();
    let guard = logs.capture();
    let response = send(&function(&store), request("GET", "/exports", Some(&adas_token()))).await;
    drop(guard);
    assert_eq!(response.status.as_u16(), 500);
    insta::assert_json_snapshot!(response.json(), @r#"
    {
      "detail": "internal error: try again; if it persists, report the request_id",
      "request_id": "request-1",
      "status": 500,
      "title": "Internal error",
      "type": "urn:export-service:problem:internal"
    }
    "#);
    let error = logs.lines().into_iter().find(|line| line["severity"] == "ERROR").unwrap();
    assert_eq!(error["error"], "the in-memory store is unavailable: configured failure");
    assert_eq!(error["request_id"], REQUEST_ID);
}

#[tokio::test]
async fn a_request_is_one_log_line_without_secrets() {
    let logs = CapturedLogs::default();
    let guard = logs.capture();
    let token = adas_token();
    let mut traced = request("GET", "/exports?x=secret", Some(&token));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    traced.headers_mut().insert("traceparent", format!("00-{trace}-b7ad6b7169203331-01").parse().unwrap());
    send(&function(&Arc::default()), traced).await;
    drop(guard);
    let [line] = &logs.lines()[..] else { panic!("one line: {}", logs.text()) };
    assert_eq!((&line["severity"], &line["message"]), (&json!("INFO"), &json!("GET /exports 200")));
    assert_eq!((&line["route"], &line["status"]), (&json!("/exports"), &json!(200)));
    assert_eq!(
        line["logging.googleapis.com/trace"],
        format!("projects/{}/traces/{trace}", fixtures::PROJECT)
    );
    assert!(line["duration_ms"].as_f64().unwrap() < 10_000.0 && line["request_id"] == REQUEST_ID);
    assert_eq!(line["uid_hash"].as_str().unwrap().len(), 12);
    for secret in [token.as_str(), fixtures::ADA, "secret"] {
        assert!(!logs.text().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_rejected() {
    let router = function(&Arc::default());
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let response = send(&router, request(method, "/exports", None)).await;
        assert_eq!((response.status.as_u16(), response.header("allow")), (405, "GET,HEAD"), "{method}");
        assert_eq!(response.header("cache-control"), "no-store");
    }
    let options = send(&router, request("OPTIONS", "/exports", None)).await;
    assert_eq!(
        (options.status.as_u16(), options.header("allow"), options.body.as_str()),
        (204, "GET,HEAD", "")
    );
    let head = send(&router, request("HEAD", "/exports", Some(&adas_token()))).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    let unknown_path = send(&router, request("GET", "/nowhere", None)).await;
    assert_eq!((unknown_path.status.as_u16(), unknown_path.header("cache-control")), (404, "no-store"));
    insta::assert_json_snapshot!(unknown_path.json(), @r#"
    {
      "detail": "this path does not exist: see the API documentation",
      "request_id": "request-1",
      "status": 404,
      "title": "The path does not exist",
      "type": "urn:export-service:problem:no-such-path"
    }
    "#);
}

#[tokio::test]
async fn the_list_is_paged_by_links_if_a_page_is_asked_for() {
    let store = Arc::new(MemoryStore::default());
    for name in ["d", "ü ?", "b", "c", "a"] {
        store.put(TRAINING_JOBS, name, fixtures::training_job(fixtures::ADA));
    }
    store.put(TRAINING_JOBS, "bobs", fixtures::training_job(fixtures::BOB));
    let ask = async |path: &str| send(&function(&store), request("GET", path, Some(&adas_token()))).await;
    let ids = |response: &shared::testing::http::TestResponse| {
        let jobs = response.json();
        let jobs = jobs.as_array().unwrap().iter();
        jobs.map(|job| job["job_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let whole = ask("/exports").await;
    assert_eq!((ids(&whole).len(), whole.headers.get("link")), (5, None));
    let (mut path, mut seen) = ("/exports?page_size=2".to_owned(), Vec::new());
    for count in [2, 2, 1] {
        let page = ask(&path).await;
        assert_eq!(ids(&page).len(), count, "{path}");
        seen.extend(ids(&page));
        let Some(next) = page.header("link").strip_suffix(">; rel=\"next\"") else { break };
        path = next.strip_prefix('<').unwrap().to_owned();
    }
    assert_eq!(seen, ids(&whole));
    let exact = ask("/exports?page_size=5").await;
    assert_eq!((ids(&exact).len(), exact.headers.get("link")), (5, None));
    for wrong in [
        "page_size=0",
        "page_size=101",
        "page_size=1&page_size=2",
        "page_token=x",
        "page_token=bobs",
        "page_token=",
        "page_token=a/b",
        "page_token=a&page_token=b",
    ] {
        let refused = ask(&format!("/exports?{wrong}")).await;
        assert_eq!(refused.status.as_u16(), 400, "{wrong}");
        let field = wrong.split('=').next().unwrap();
        assert_eq!(refused.json()["field"], field);
    }
}
