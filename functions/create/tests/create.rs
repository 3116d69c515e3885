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
    testing::{
        FixedKeys, MemoryStore, Mint, Outcome, RecordingLauncher, fixtures,
        http::{Answer, Logs, post, request, send},
    },
};

const CANARY: &str = "hf_canary";

#[derive(Default)]
struct World {
    store: Arc<MemoryStore>,
    launcher: Arc<RecordingLauncher>,
}

impl World {
    fn new() -> Self {
        let world = Self::default();
        world.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
        world.store.put(TRAINING_JOBS, "bobs", fixtures::training_job(fixtures::BOB));
        world.store.put(TRAINING_JOBS, "running", json!({"user_id": fixtures::ADA, "status": "running"}));
        world
    }

    fn function(&self) -> Router {
        router(Context {
            callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
            jobs: Arc::clone(&self.store) as _,
            exports: Arc::clone(&self.store) as _,
            launcher: Arc::clone(&self.launcher) as _,
            list: None,
        })
    }

    async fn post(&self, body: impl Into<Body>) -> Answer {
        send(&self.function(), post(Some(&Mint::first().token(fixtures::ADA)), body)).await
    }

    fn untouched(&self) -> bool {
        self.store.documents(EXPORTS).is_empty() && self.launcher.launches().is_empty()
    }
}

fn valid() -> Value {
    json!({"job_id": fixtures::JOB, "export_type": "gguf", "hf_token": CANARY})
}

/// A body that must not be read.
fn untouchable() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> { unreachable!("the body was read") },
    ))
}

/// A body that comes in chunks and does not say how long it is.
fn chunked(chunks: Vec<Vec<u8>>) -> Body {
    let chunks = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
    Body::from_stream(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn an_export_is_recorded_launched_and_acknowledged() {
    let world = World::new();
    let answer = world.post(valid().to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    let [(id, record)] = &world.store.documents(EXPORTS)[..] else { panic!("one record") };
    let ack =
        json!({"success": true, "message": format!("Export job {id} started successfully"), "export_id": id});
    assert_eq!(answer.json(), ack);
    assert_eq!((&record["status"], &record["user_id"]), (&json!("running"), &json!(fixtures::ADA)));
    let launches = world.launcher.launches();
    assert_eq!(
        (launches[0].export.to_string().as_str(), launches[0].hf_token.as_deref()),
        (id.as_str(), Some(CANARY))
    );
}

#[tokio::test]
async fn the_order_of_refusals_is_401_413_415_400_404_403_400() {
    let world = World::new();
    let large = || "x".repeat(16 * 1024 + 1);
    let as_text = |mut request: Request<Body>| {
        request.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        request
    };
    let token = Mint::first().token(fixtures::ADA);
    let token = Some(token.as_str());
    let body = |change: Value| {
        let mut body = valid();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    let mut announced = post(token, untouchable());
    announced.headers_mut().insert(header::CONTENT_LENGTH, "16385".parse().unwrap());
    let rows = [
        ("nobody, and a large body", post(None, untouchable()), 401, "unauthenticated"),
        ("a body that announces too much", announced, 413, "body-too-large"),
        ("large and not JSON", as_text(post(token, large())), 413, "body-too-large"),
        ("large in chunks", post(token, chunked(vec![vec![b' '; 9_000]; 2])), 413, "body-too-large"),
        ("not called JSON", as_text(post(token, "nonsense")), 415, "not-json"),
        ("called nothing", request("POST", "/exports", token), 415, "not-json"),
        ("not JSON", post(token, "{"), 400, "invalid-request"),
        ("not an object", post(token, format!("[\"{}\"]", fixtures::JOB)), 400, "invalid-request"),
        ("two values", post(token, format!("{0}{0}", valid())), 400, "invalid-request"),
        ("not UTF-8", post(token, b"{\"job_id\":\"\xff\"}".to_vec()), 400, "invalid-request"),
        (
            "invalid, of no job",
            post(token, body(json!({"job_id": "nowhere", "export_type": "x"}))),
            400,
            "invalid-request",
        ),
        ("no such job", post(token, body(json!({"job_id": "nowhere"}))), 404, "no-such-job"),
        ("somebody else's job", post(token, body(json!({"job_id": "bobs"}))), 403, "not-owner"),
        ("a job that runs", post(token, body(json!({"job_id": "running"}))), 400, "not-completed"),
    ];
    for (name, request, status, code) in rows {
        let answer = send(&world.function(), request).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
        assert_eq!(answer.json()["type"], format!("urn:export-service:problem:{code}"), "{name}");
    }
    assert!(world.untouched());
}

#[tokio::test]
async fn problems_say_which_field_and_what_to_do() {
    let world = World::new();
    let invalid = world.post(json!({"job_id": fixtures::JOB, "export_type": "onnx"}).to_string()).await;
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
    let unreadable = world.post("{").await;
    insta::assert_json_snapshot!(unreadable.json(), @r#"
    {
      "detail": "body: must be one JSON object that names no field twice",
      "field": "body",
      "request_id": "request-1",
      "status": 400,
      "title": "The request is not valid",
      "type": "urn:export-service:problem:invalid-request"
    }
    "#);
    let running = world.post(json!({"job_id": "running", "export_type": "gguf"}).to_string()).await;
    insta::assert_json_snapshot!(running.json(), @r#"
    {
      "detail": "the training job is not completed (its status is running): wait for it to finish, then export it",
      "request_id": "request-1",
      "status": 400,
      "title": "The training job is not completed",
      "type": "urn:export-service:problem:not-completed"
    }
    "#);
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_taken_whole_or_in_chunks() {
    let filled = |body: Value| {
        let text = body.to_string();
        format!("{text}{}", " ".repeat(16 * 1024 - text.len()))
    };
    assert_eq!(World::new().post(filled(valid())).await.status.as_u16(), 200);
    let bytes = filled(valid()).into_bytes();
    let chunks = bytes.chunks(1_000).map(<[u8]>::to_vec).collect();
    assert_eq!(World::new().post(chunked(chunks)).await.status.as_u16(), 200);
}

#[tokio::test]
async fn json_may_have_parameters_and_suffixes() {
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.export+json"] {
        let mut request = post(Some(&Mint::first().token(fixtures::ADA)), valid().to_string());
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        assert_eq!(send(&World::new().function(), request).await.status.as_u16(), 200, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let answer = World::new()
        .post(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()))
        .await;
    assert_eq!(answer.status.as_u16(), 408);
}

#[tokio::test]
async fn what_cannot_be_launched_is_a_constant_500() {
    for outcome in [Outcome::NotStarted, Outcome::Unknown, Outcome::Panic] {
        let world = World::new();
        world.launcher.set_outcome(outcome);
        let answer = world.post(valid().to_string()).await;
        assert_eq!(answer.status.as_u16(), 500, "{outcome:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let expected = json!({
            "type": "urn:export-service:problem:internal", "title": "Internal error", "status": 500,
            "detail": "something went wrong on our side: try again, and if it stays so, report the request_id",
            "request_id": "request-1",
        });
        assert_eq!(answer.json(), expected, "{outcome:?}");
        let (_, record) = &world.store.documents(EXPORTS)[0];
        let status = if outcome == Outcome::NotStarted { "failed" } else { "running" };
        assert_eq!(record["status"], status, "{outcome:?}");
    }
}

/// The token is in the launch and nowhere else: no log line, no document, no answer.
#[tokio::test]
async fn the_hub_token_is_seen_by_the_job_only() {
    let logs = Logs::default();
    let guard = logs.collect();
    let mut seen = String::new();
    let bodies = [
        valid().to_string(),
        json!({"job_id": fixtures::JOB, "export_type": "gguf", "hf_token": [CANARY]}).to_string(),
        json!({"job_id": fixtures::JOB, "export_type": "gguf", "hf_token": format!("{CANARY}\u{7}")})
            .to_string(),
        json!({"job_id": CANARY, "export_type": CANARY, "hf_token": CANARY}).to_string(),
        format!(r#"{{"hf_token":"{CANARY}","hf_token":"{CANARY}"}}"#),
        format!(r#"{{"hf_token":"{CANARY}""#),
    ];
    for outcome in [Outcome::Started, Outcome::NotStarted, Outcome::Unknown, Outcome::Panic] {
        for body in &bodies {
            let world = World::new();
            world.launcher.set_outcome(outcome);
            let answer = world.post(body.clone()).await;
            seen.push_str(&format!(
                "{}{:?}{:?}",
                answer.body,
                answer.headers,
                world.store.documents(EXPORTS)
            ));
        }
    }
    drop(guard);
    assert!(
        logs.text().contains("POST /exports 500") && seen.contains("running"),
        "there is something to search"
    );
    assert!(!seen.contains(CANARY), "{seen}");
    assert!(!logs.text().contains(CANARY), "{}", logs.text());
}

#[tokio::test]
async fn reading_the_list_is_somebody_elses_part() {
    let world = World::new();
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let answer = send(&world.function(), request(method, "/exports", None)).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"), "{method}");
    }
    let list = get(async || Json(json!([])));
    let context = Context {
        callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
        jobs: Arc::clone(&world.store) as _,
        exports: Arc::clone(&world.store) as _,
        launcher: Arc::clone(&world.launcher) as _,
        list: Some(list),
    };
    let function = router(context);
    let answer = send(&function, request("GET", "/exports", None)).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "[]"));
    let other = send(&function, request("PUT", "/exports", None)).await;
    assert_eq!(other.status.as_u16(), 405);
    let mut allowed: Vec<_> = other.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}
