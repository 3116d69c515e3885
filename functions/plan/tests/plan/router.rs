//! `POST /plans`, over buckets in a temporary folder.

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::Router;
use job::{Buckets, HubSettings, JobMachine, Locations, Planner};
use plan::{Context, router};
use serde_json::{Value, json};
use shared::{
    adapters::{
        documents::{EXPORTS, TRAINING_JOBS},
        storage::Storage,
    },
    auth::Verifier,
    testing::{
        FixedKeys, MemoryStore, TokenSigner, fixtures,
        http::{TestResponse, post, request, send},
    },
};

const BASE: &str = "google/gemma-3-micro";

struct TestContext {
    folder: tempfile::TempDir,
    store: Arc<MemoryStore>,
}

impl TestContext {
    /// A base model, and a completed training job with its adapter.
    fn new() -> Self {
        let context = Self { folder: tempfile::tempdir().unwrap(), store: Arc::default() };
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../engine/tests/fixtures/gemma3-micro");
        for (from, to) in [("base", format!("base/{BASE}")), ("adapter", "raw/adapter".to_owned())] {
            let to = context.folder.path().join(to);
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(models.join(from)).unwrap().map(Result::unwrap) {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        let mut job = fixtures::training_job(fixtures::ADA);
        job["base_model_id"] = json!(BASE);
        job["artifacts"] = json!({"raw": {"adapter": context.url("raw/adapter")}});
        context.store.put(TRAINING_JOBS, fixtures::JOB, job);
        context
    }

    fn url(&self, path: &str) -> String {
        let path = self.folder.path().canonicalize().unwrap().join(path);
        url::Url::from_file_path(path).unwrap().to_string()
    }

    fn function(&self) -> Router {
        let locations = Locations {
            storage: Storage::folder(self.folder.path()).unwrap(),
            buckets: Buckets { raw: self.url("raw"), files: self.url("files") },
            base_models: Some(self.url("base")),
            hub: HubSettings {
                retry_delays: [1, 2, 3].map(Duration::from_millis),
                ..HubSettings::at("http://127.0.0.1:9")
            },
        };
        router(Context {
            callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
            jobs: Arc::clone(&self.store) as _,
            planner: Arc::new(Planner::new(locations, JobMachine::default())),
        })
    }

    async fn plan(&self, uid: Option<&str>, body: &Value) -> TestResponse {
        let token = uid.map(|uid| TokenSigner::first().token(uid));
        let mut request = post(token.as_deref(), body.to_string());
        *request.uri_mut() = "/plans".parse().unwrap();
        send(&self.function(), request).await
    }
}

#[tokio::test]
async fn a_plan_says_what_would_be_made_and_starts_nothing() {
    let context = TestContext::new();
    let body = json!({"job_id": fixtures::JOB, "export_type": "gguf", "quantizations": ["q8_0", "q4_0"]});
    let response = context.plan(Some(fixtures::ADA), &body).await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.body);
    assert_eq!(response.header("cache-control"), "no-store");
    let plan = response.json();
    let names: Vec<_> = plan["files"].as_array().unwrap().iter().map(|file| file["name"].clone()).collect();
    for name in ["model.gguf", "model.report.json", "model-q4_0.gguf"] {
        assert!(names.contains(&json!(name)), "{name}: {plan}");
    }
    assert_eq!((&plan["adapter"]["pairs"], &plan["adapter"]["rank"]), (&json!(14), &json!(4)), "{plan}");
    let base = json!({"model": BASE, "revision": null, "source": "bucket", "access": "ok"});
    assert_eq!((&plan["base"], &plan["hub"], &plan["reused"]), (&base, &Value::Null, &json!(false)));
    assert!(plan["parameters"].as_u64() > Some(0) && plan["estimate"]["seconds"].as_u64() >= Some(20));
    assert!(context.store.documents(EXPORTS).is_empty());
    assert!(!context.folder.path().join("files").exists());
}

#[tokio::test]
async fn what_the_export_would_refuse_is_refused() {
    let context = TestContext::new();
    let mut pending = fixtures::training_job(fixtures::ADA);
    pending["status"] = json!("running");
    context.store.put(TRAINING_JOBS, "job-2", pending);
    let mut without = fixtures::training_job(fixtures::ADA);
    without["artifacts"] = json!({});
    without["adapter_path"] = Value::Null;
    context.store.put(TRAINING_JOBS, "job-3", without);
    let ada = Some(fixtures::ADA);
    for (uid, job, kind, status, problem) in [
        (None, fixtures::JOB, "gguf", 401, "unauthenticated"),
        (Some(fixtures::BOB), fixtures::JOB, "gguf", 403, "not-owner"),
        (ada, "job-9", "gguf", 404, "no-such-job"),
        (ada, "job-2", "gguf", 400, "not-completed"),
        (ada, fixtures::JOB, "safetensors", 400, "invalid-request"),
        (ada, "job-3", "gguf", 422, "cannot-be-exported"),
    ] {
        let response = context.plan(uid, &json!({"job_id": job, "export_type": kind})).await;
        assert_eq!(response.status.as_u16(), status, "{job} {kind}: {}", response.body);
        assert_eq!(response.json()["type"], format!("urn:export-service:problem:{problem}"), "{job} {kind}");
    }
    let refused = context.plan(ada, &json!({"job_id": "job-3", "export_type": "gguf"})).await.json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("training job job-3 names no adapter"), "{detail}");
    assert_eq!(refused.get("field"), None, "it is about the training job");
    let body = json!({"job_id": fixtures::JOB, "export_type": "gguf", "max_bytes": 1000});
    let refused = context.plan(ada, &body).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (422, &json!("max_bytes")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_cannot_be_reached_is_503() {
    let context = TestContext::new();
    fs::remove_dir_all(context.folder.path().join("base").join(BASE)).unwrap();
    let body = json!({"job_id": fixtures::JOB, "export_type": "merged"});
    let response = context.plan(Some(fixtures::ADA), &body).await;
    let problem = response.json();
    assert_eq!((response.status.as_u16(), response.header("retry-after")), (503, "60"), "{problem}");
    assert_eq!(problem["type"], "urn:export-service:problem:hub-unavailable");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("Hugging Face Hub") && detail.ends_with("try again in a few minutes"),
        "{detail}"
    );
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let token = TokenSigner::first().token(fixtures::ADA);
    let response = send(&TestContext::new().function(), request("GET", "/plans", Some(&token))).await;
    assert_eq!((response.status.as_u16(), response.header("allow")), (405, "POST"));
}
