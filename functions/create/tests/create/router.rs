//! `POST /exports`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{Request, header},
    routing::get,
};
use create::{Context, router};
use serde_json::{Value, json};
use shared::{
    adapters::documents::{EXPORTS, TRAINING_JOBS},
    auth::Verifier,
    domain::CallerLimits,
    testing::{
        FixedKeys, LaunchOutcome, MemoryStore, RecordingLauncher, TokenSigner, fixtures,
        http::{CapturedLogs, TestResponse, post, request, send},
    },
};

const CANARY: &str = "hf_canary";

struct TestContext {
    store: Arc<MemoryStore>,
    launcher: Arc<RecordingLauncher>,
    limits: CallerLimits,
}

impl TestContext {
    fn new() -> Self {
        let context = Self {
            store: Arc::default(),
            launcher: Arc::default(),
            limits: CallerLimits { running: 2, daily: 9 },
        };
        context.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
        context.store.put(TRAINING_JOBS, "bobs", fixtures::training_job(fixtures::BOB));
        for status in ["running", "failed"] {
            context.store.put(TRAINING_JOBS, status, json!({"user_id": fixtures::ADA, "status": status}));
        }
        context
    }

    fn function(&self) -> Router {
        router(Context {
            callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
            jobs: Arc::clone(&self.store) as _,
            exports: Arc::clone(&self.store) as _,
            launcher: Arc::clone(&self.launcher) as _,
            retention_days: fixtures::RETENTION_DAYS,
            limits: self.limits,
            list: None,
        })
    }

    async fn post(&self, body: impl Into<Body>) -> TestResponse {
        send(&self.function(), post(Some(&TokenSigner::first().token(fixtures::ADA)), body)).await
    }

    fn is_unchanged(&self) -> bool {
        self.store.documents(EXPORTS).is_empty() && self.launcher.launches().is_empty()
    }
}

fn valid() -> Value {
    json!({"job_id": fixtures::JOB, "export_type": "gguf", "hf_token": CANARY})
}

/// A body that panics when read.
fn unreadable_body() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> { unreachable!("the body was read") },
    ))
}

/// A chunked body without a length.
fn chunked(chunks: Vec<Vec<u8>>) -> Body {
    let chunks = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
    Body::from_stream(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn an_export_is_stored_launched_and_acknowledged() {
    let context = TestContext::new();
    let response = context.post(valid().to_string()).await;
    assert_eq!((response.status.as_u16(), response.header("cache-control")), (200, "no-store"));
    let [(id, record)] = &context.store.documents(EXPORTS)[..] else { panic!("one record") };
    let ack =
        json!({"success": true, "message": format!("Export job {id} started successfully"), "export_id": id});
    assert_eq!(response.json(), ack);
    assert_eq!(response.header("location"), format!("/exports/{}/history/{id}", fixtures::JOB));
    assert_eq!((&record["status"], &record["user_id"]), (&json!("running"), &json!(fixtures::ADA)));
    let launches = context.launcher.launches();
    assert_eq!(
        (launches[0].export.to_string().as_str(), launches[0].hf_token.as_deref()),
        (id.as_str(), Some(CANARY))
    );
}

#[tokio::test]
async fn errors_are_checked_in_the_order_401_400_of_headers_413_415_400_404_403_400() {
    let context = TestContext::new();
    let large = || "x".repeat(16 * 1024 + 1);
    let as_text = |mut request: Request<Body>| {
        request.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        request
    };
    let token = TokenSigner::first().token(fixtures::ADA);
    let token = Some(token.as_str());
    let body = |change: Value| {
        let mut body = valid();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    let mut with_length = post(token, unreadable_body());
    with_length.headers_mut().insert(header::CONTENT_LENGTH, "16385".parse().unwrap());
    let mut compressed = post(token, valid().to_string());
    compressed.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    let mut wrong_key = as_text(post(token, large()));
    wrong_key.headers_mut().insert("idempotency-key", "a b".parse().unwrap());
    let rows = [
        ("no token, and a large body", post(None, unreadable_body()), 401, "unauthenticated"),
        ("a wrong key, large and not JSON", wrong_key, 400, "invalid-request"),
        ("a Content-Length over the limit", with_length, 413, "body-too-large"),
        ("large and not JSON", as_text(post(token, large())), 413, "body-too-large"),
        ("large in chunks", post(token, chunked(vec![vec![b' '; 9_000]; 2])), 413, "body-too-large"),
        ("Content-Type is not JSON", as_text(post(token, "nonsense")), 415, "not-json"),
        ("no Content-Type", request("POST", "/exports", token), 415, "not-json"),
        ("compressed", compressed, 415, "not-json"),
        ("not JSON", post(token, "{"), 400, "invalid-request"),
        ("not an object", post(token, format!("[\"{}\"]", fixtures::JOB)), 400, "invalid-request"),
        ("two values", post(token, format!("{0}{0}", valid())), 400, "invalid-request"),
        ("not UTF-8", post(token, b"{\"job_id\":\"\xff\"}".to_vec()), 400, "invalid-request"),
        (
            "invalid, and no such job",
            post(token, body(json!({"job_id": "nowhere", "export_type": "x"}))),
            400,
            "invalid-request",
        ),
        ("no such job", post(token, body(json!({"job_id": "nowhere"}))), 404, "no-such-job"),
        ("a job of another user", post(token, body(json!({"job_id": "bobs"}))), 403, "not-owner"),
        ("a running job", post(token, body(json!({"job_id": "running"}))), 400, "not-completed"),
    ];
    for (name, request, status, code) in rows {
        let response = send(&context.function(), request).await;
        assert_eq!(response.status.as_u16(), status, "{name}: {}", response.body);
        assert_eq!(response.json()["type"], format!("urn:export-service:problem:{code}"), "{name}");
    }
    assert!(context.is_unchanged());
}

#[tokio::test]
async fn problems_name_the_field_and_the_rule() {
    let context = TestContext::new();
    let invalid = context.post(json!({"job_id": fixtures::JOB, "export_type": "onnx"}).to_string()).await;
    insta::assert_json_snapshot!(invalid.json(), @r#"
    {
      "detail": "export_type: must be adapter, merged or gguf",
      "field": "export_type",
      "request_id": "request-1",
      "status": 400,
      "title": "The request is not valid",
      "type": "urn:export-service:problem:invalid-request"
    }
    "#);
    let unreadable = context.post("{").await;
    insta::assert_json_snapshot!(unreadable.json(), @r#"
    {
      "detail": "body: ends before its JSON object does: send all of it",
      "field": "body",
      "request_id": "request-1",
      "status": 400,
      "title": "The request is not valid",
      "type": "urn:export-service:problem:invalid-request"
    }
    "#);
    let cases: [(&[u8], &str); 8] = [
        (b"", "body: is empty: send one JSON object"),
        (b" \n", "body: is empty: send one JSON object"),
        ("\u{feff}{}".as_bytes(), "body: begins with a byte order mark: send UTF-8 without it"),
        (b"[{}]", "body: is not a JSON object: send one JSON object, which begins with {"),
        (
            b"{} {}",
            "body: has text behind its JSON object at line 1, column 4: send one JSON object and nothing else",
        ),
        (b"{\n\"a\": secret}", "body: is not valid JSON at line 2, column 6: correct it"),
        (
            br#"{"job_id": "a", "job_id": "b"}"#,
            "body: has a field for the second time at line 1, column 24: send each field once",
        ),
        (b"{\"zz\":\"\xff\"}", "body: is not UTF-8: send one JSON object in UTF-8"),
    ];
    for (body, detail) in cases {
        let refused = context.post(body.to_vec()).await.json();
        assert_eq!((&refused["detail"], &refused["field"]), (&json!(detail), &json!("body")));
    }
    let running = context.post(json!({"job_id": "running", "export_type": "gguf"}).to_string()).await;
    insta::assert_json_snapshot!(running.json(), @r#"
    {
      "detail": "the training job is not completed (status: running): wait until it is completed, then export it",
      "request_id": "request-1",
      "status": 400,
      "title": "The training job is not completed",
      "type": "urn:export-service:problem:not-completed"
    }
    "#);
    let failed = context.post(json!({"job_id": "failed", "export_type": "gguf"}).to_string()).await.json();
    let detail = "the training job is not completed (status: failed): it has ended without a model; train again, then export the new job";
    assert_eq!(failed["detail"], detail);
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_accepted_with_length_and_in_chunks() {
    let filled = |body: Value| {
        let text = body.to_string();
        format!("{text}{}", " ".repeat(16 * 1024 - text.len()))
    };
    assert_eq!(TestContext::new().post(filled(valid())).await.status.as_u16(), 200);
    let bytes = filled(valid()).into_bytes();
    let chunks = bytes.chunks(1_000).map(<[u8]>::to_vec).collect();
    assert_eq!(TestContext::new().post(chunked(chunks)).await.status.as_u16(), 200);
}

#[tokio::test]
async fn json_media_types_with_parameters_and_suffixes_are_accepted() {
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.export+json"] {
        let mut request = post(Some(&TokenSigner::first().token(fixtures::ADA)), valid().to_string());
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        assert_eq!(send(&TestContext::new().function(), request).await.status.as_u16(), 200, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_times_out() {
    let response = TestContext::new()
        .post(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()))
        .await;
    assert_eq!(response.status.as_u16(), 408);
}

#[tokio::test]
async fn a_failed_launch_is_a_500_without_details() {
    for outcome in [LaunchOutcome::NotStarted, LaunchOutcome::Unknown, LaunchOutcome::Panic] {
        let context = TestContext::new();
        context.launcher.set_outcome(outcome);
        let response = context.post(valid().to_string()).await;
        assert_eq!(response.status.as_u16(), 500, "{outcome:?}");
        assert_eq!(response.header("cache-control"), "no-store");
        let expected = json!({
            "type": "urn:export-service:problem:internal", "title": "Internal error", "status": 500,
            "detail": "internal error: try again; if it persists, report the request_id",
            "request_id": "request-1",
        });
        assert_eq!(response.json(), expected, "{outcome:?}");
        let (_, record) = &context.store.documents(EXPORTS)[0];
        let status = if outcome == LaunchOutcome::NotStarted { "failed" } else { "running" };
        assert_eq!(record["status"], status, "{outcome:?}");
    }
}

/// The token is only in the launch, not in logs, documents or responses.
#[tokio::test]
async fn the_hub_token_is_only_passed_to_the_job() {
    let logs = CapturedLogs::default();
    let guard = logs.capture();
    let mut output = String::new();
    let bodies = [
        valid().to_string(),
        json!({"job_id": fixtures::JOB, "export_type": "gguf", "hf_token": [CANARY]}).to_string(),
        json!({"job_id": fixtures::JOB, "export_type": "gguf", "hf_token": format!("{CANARY}\u{7}")})
            .to_string(),
        json!({"job_id": CANARY, "export_type": CANARY, "hf_token": CANARY}).to_string(),
        format!(r#"{{"hf_token":"{CANARY}","hf_token":"{CANARY}"}}"#),
        format!(r#"{{"hf_token":"{CANARY}""#),
    ];
    for outcome in
        [LaunchOutcome::Started, LaunchOutcome::NotStarted, LaunchOutcome::Unknown, LaunchOutcome::Panic]
    {
        for body in &bodies {
            let context = TestContext::new();
            context.launcher.set_outcome(outcome);
            let response = context.post(body.clone()).await;
            output.push_str(&format!(
                "{}{:?}{:?}",
                response.body,
                response.headers,
                context.store.documents(EXPORTS)
            ));
        }
    }
    drop(guard);
    assert!(
        logs.text().contains("POST /exports 500") && output.contains("running"),
        "the test produced output"
    );
    assert!(!output.contains(CANARY), "{output}");
    assert!(!logs.text().contains(CANARY), "{}", logs.text());
}

#[tokio::test]
async fn get_is_forwarded_if_a_list_route_is_configured() {
    let context = TestContext::new();
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let response = send(&context.function(), request(method, "/exports", None)).await;
        assert_eq!((response.status.as_u16(), response.header("allow")), (405, "POST"), "{method}");
    }
    let list = get(async || Json(json!([])));
    let dependencies = Context {
        callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
        jobs: Arc::clone(&context.store) as _,
        exports: Arc::clone(&context.store) as _,
        launcher: Arc::clone(&context.launcher) as _,
        retention_days: fixtures::RETENTION_DAYS,
        limits: CallerLimits::NONE,
        list: Some(list),
    };
    let function = router(dependencies);
    let response = send(&function, request("GET", "/exports", None)).await;
    assert_eq!((response.status.as_u16(), response.body.as_str()), (200, "[]"));
    let other = send(&function, request("PUT", "/exports", None)).await;
    assert_eq!(other.status.as_u16(), 405);
    let mut allowed: Vec<_> = other.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_request_with_a_key_can_be_repeated() {
    let context = TestContext::new();
    let token = &TokenSigner::first().token(fixtures::ADA);
    let with_key = |key: &str, body: &Value| {
        let mut request = post(Some(token), Body::from(body.to_string()));
        request.headers_mut().append("idempotency-key", key.parse().unwrap());
        request
    };
    let asked = json!({"job_id": fixtures::JOB, "export_type": "merged"});
    let first = send(&context.function(), with_key("a-key", &asked)).await;
    assert_eq!((first.status.as_u16(), first.headers.get("idempotent-replayed")), (200, None));
    let again = send(&context.function(), with_key("a-key", &asked)).await;
    assert_eq!(again.json(), first.json());
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = json!({"job_id": fixtures::JOB, "export_type": "adapter"});
    let reused = send(&context.function(), with_key("a-key", &other)).await;
    assert_eq!(reused.status.as_u16(), 422);
    assert!(reused.json()["type"].as_str().unwrap().ends_with("idempotency-key-reused"));
    for key in ["", "two words", &"x".repeat(256)] {
        let refused = send(&context.function(), with_key(key, &asked)).await;
        assert_eq!(refused.status.as_u16(), 400, "{key:?}");
        assert_eq!(refused.json()["field"], "Idempotency-Key");
    }
    let mut twice = with_key("a", &asked);
    twice.headers_mut().append("idempotency-key", "b".parse().unwrap());
    let twice = send(&context.function(), twice).await;
    assert_eq!(twice.status.as_u16(), 400);
    assert!(twice.body.contains("send it once"), "{}", twice.body);
    assert_eq!(context.launcher.launches().len(), 1);
}

#[tokio::test]
async fn every_answer_names_the_limits_and_too_many_exports_are_429() {
    let context = TestContext::new();
    let policy = r#""running";q=2, "daily";q=9;w=86400"#;
    for (left, daily) in [(1, 8), (0, 7)] {
        let response = context.post(valid().to_string()).await;
        assert_eq!((response.status.as_u16(), response.header("ratelimit-policy")), (200, policy));
        let state = response.header("ratelimit");
        assert!(state.starts_with(&format!(r#""running";r={left}, "daily";r={daily};t=86"#)), "{state}");
    }
    let refused = context.post(valid().to_string()).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "60"));
    assert_eq!(refused.header("ratelimit-policy"), policy);
    assert!(refused.header("ratelimit").starts_with(r#""running";r=0, "daily";r=7;t="#));
    insta::assert_json_snapshot!(refused.json(), @r#"
    {
      "detail": "2 of your exports are running, as many as allowed: wait until one ends, or cancel one",
      "request_id": "request-1",
      "status": 429,
      "title": "You have too many exports",
      "type": "urn:export-service:problem:too-many-exports"
    }
    "#);
    assert_eq!(context.launcher.launches().len(), 2);
    let with = |change: fn(&mut Request<Body>)| {
        let mut request = post(None, "{}");
        change(&mut request);
        request
    };
    for (refused, status) in [
        (post(None, "{}"), 401),
        (
            with(|request| *request.uri_mut() = format!("/exports?{}", "x".repeat(20_000)).parse().unwrap()),
            414,
        ),
        (
            with(|request| {
                request.headers_mut().insert("x-long", "x".repeat(140_000).parse().unwrap());
            }),
            431,
        ),
    ] {
        let response = send(&context.function(), refused).await;
        assert_eq!((response.status.as_u16(), response.header("ratelimit-policy")), (status, policy));
    }
    assert_eq!(context.post("{").await.header("ratelimit-policy"), policy);
    let unlimited = TestContext { limits: CallerLimits::NONE, ..context };
    let response = unlimited.post(valid().to_string()).await;
    assert_eq!(response.status.as_u16(), 200);
    assert!(
        !response.headers.contains_key("ratelimit") && !response.headers.contains_key("ratelimit-policy")
    );
}
