//! `POST /exports/{job_id}/cancel`.

use std::sync::Arc;

use axum::{Router, body::Body, http::Request};
use cancel::{Context, router};
use serde_json::{Value, json};
use shared::{
    adapters::documents::{self, EXPORTS, TRAINING_JOBS},
    auth::Verifier,
    clock,
    domain::{ExportId, Transition},
    testing::{
        FixedKeys, MemoryStore, RecordingLauncher, TokenSigner, fixtures,
        http::{TestResponse, post, send},
    },
};

const PATH: &str = "/exports/job-1/cancel";

#[derive(Default)]
struct TestContext {
    store: Arc<MemoryStore>,
    launcher: Arc<RecordingLauncher>,
}

impl TestContext {
    /// With a claimed export.
    fn new() -> (Self, ExportId) {
        let context = Self::default();
        context.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
        let export = fixtures::new_export(ExportId::random(), fixtures::JOB, clock::now());
        let export = export.apply(&Transition::Claim(fixtures::claim("run-1")), clock::now()).unwrap();
        context.store.put(EXPORTS, &export.id.to_string(), documents::create(&export));
        (context, export.id)
    }

    fn function(&self) -> Router {
        router(Context {
            callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
            jobs: Arc::clone(&self.store) as _,
            exports: Arc::clone(&self.store) as _,
            launcher: Arc::clone(&self.launcher) as _,
        })
    }

    async fn cancel(&self, uid: Option<&str>, path: &str, body: &str) -> TestResponse {
        let token = uid.map(|uid| TokenSigner::first().token(uid));
        let mut request: Request<Body> = post(token.as_deref(), body.to_owned());
        *request.uri_mut() = path.parse().unwrap();
        if body.is_empty() {
            request.headers_mut().remove("content-type");
        }
        send(&self.function(), request).await
    }
}

#[tokio::test]
async fn the_running_export_is_cancelled_with_and_without_its_id() {
    for body in [Some("{}"), Some(""), None] {
        let (context, id) = TestContext::new();
        let body = body.map_or_else(|| json!({"export_id": id}).to_string(), str::to_owned);
        let response = context.cancel(Some(fixtures::ADA), PATH, &body).await;
        assert_eq!((response.status.as_u16(), response.header("cache-control")), (200, "no-store"));
        let export = response.json();
        assert_eq!((&export["export_id"], &export["status"]), (&json!(id), &json!("failed")));
        let failure = json!({"code": "cancelled", "message": "The export was cancelled."});
        assert_eq!((&export["failure"], &export["message"]), (&failure, &failure["message"]));
        assert!(export["finished_at"].is_string());
        assert_eq!(context.launcher.cancelled(), ["run-1"]);
        let record: Value = context.store.document(EXPORTS, &id.to_string()).unwrap();
        assert_eq!(record["failure"], failure);
        let again = context.cancel(Some(fixtures::ADA), PATH, &body).await;
        assert_eq!(again.status.as_u16(), 409);
        assert_eq!(again.json()["type"], "urn:export-service:problem:not-running");
    }
}

#[tokio::test]
async fn what_is_refused_cancels_nothing() {
    let (context, id) = TestContext::new();
    let unknown = json!({"export_id": ExportId::random()}).to_string();
    let ada = Some(fixtures::ADA);
    for (uid, path, body, status, kind) in [
        (None, PATH, "", 401, "unauthenticated"),
        (Some(fixtures::BOB), PATH, "", 403, "not-owner"),
        (ada, "/exports/job-2/cancel", "", 404, "no-such-job"),
        (ada, PATH, &unknown, 404, "no-such-export"),
        (ada, "/exports/__x__/cancel", "", 400, "invalid-request"),
        (ada, PATH, r#"{"export_id": "x"}"#, 400, "invalid-request"),
        (ada, PATH, r#"{"export_id": 7}"#, 400, "invalid-request"),
        (ada, PATH, r#"{"export_id": null, "unknown": 1}"#, 400, "invalid-request"),
        (ada, PATH, r#"{"exportId": "x"}"#, 400, "invalid-request"),
        (ada, PATH, "[]", 400, "invalid-request"),
        (ada, PATH, &" ".repeat(16 * 1024 + 1), 413, "body-too-large"),
    ] {
        let response = context.cancel(uid, path, body).await;
        assert_eq!(response.status.as_u16(), status, "{path} {body:.40}: {}", response.body);
        assert_eq!(response.json()["type"], format!("urn:export-service:problem:{kind}"), "{path}");
    }
    assert!(context.launcher.cancelled().is_empty());
    assert_eq!(context.store.document(EXPORTS, &id.to_string()).unwrap()["status"], "running");
    let unnamed = context.cancel(ada, PATH, r#"{"export_id": null}"#).await.json();
    assert_eq!(unnamed["field"], "export_id", "{unnamed}");
}
