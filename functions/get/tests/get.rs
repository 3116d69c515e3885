//! `GET /exports/{job_id}`.

use std::sync::Arc;

use axum::Router;
use get::{Context, router};
use serde_json::json;
use shared::{
    adapters::documents::{self, EXPORTS, TRAINING_JOBS},
    auth::Verifier,
    clock,
    testing::{
        FakeLinks, FixedKeys, MemoryStore, TokenSigner, fixtures,
        http::{TestResponse, request, send},
    },
};

fn function(store: &Arc<MemoryStore>) -> Router {
    router(Context {
        callers: Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default())),
        jobs: Arc::clone(store) as _,
        exports: Arc::clone(store) as _,
        links: Arc::new(FakeLinks::default()),
    })
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::default();
    let mut job = fixtures::training_job(fixtures::ADA);
    job["artifacts"]["file"] = json!({"gguf": "gs://files/job-1/model.gguf"});
    job["artifacts"]["hf"] = json!({"merged": "ada/gemma"});
    store.put(TRAINING_JOBS, fixtures::JOB, job);
    Arc::new(store)
}

async fn get_as(store: &Arc<MemoryStore>, uid: &str, path: &str) -> TestResponse {
    send(&function(store), request("GET", path, Some(&TokenSigner::first().token(uid)))).await
}

#[tokio::test]
async fn a_job_without_exports_has_no_latest_export() {
    let response = get_as(&store(), fixtures::ADA, "/exports/job-1").await;
    assert_eq!(response.status.as_u16(), 200);
    insta::assert_json_snapshot!(response.json(), @r#"
    {
      "adapter_path": "gs://models/adapters/job-1",
      "artifacts": {
        "file": {
          "adapter": null,
          "gguf": "https://files.test/job-1/model.gguf?signed",
          "merged": null
        },
        "hf": {
          "adapter": null,
          "gguf": null,
          "merged": "ada/gemma"
        },
        "raw": {
          "adapter": "gs://models/adapters/job-1",
          "merged": null
        }
      },
      "base_model_id": "google/gemma-3-1b-it",
      "job_id": "job-1",
      "job_name": "Support bot",
      "latest_export": null,
      "modality": "text",
      "user_id": "ada-uid"
    }
    "#);
}

#[tokio::test]
async fn the_latest_export_is_returned_with_all_fields() {
    let store = store();
    let mut export = fixtures::export();
    for transition in fixtures::lifecycle() {
        export = export.apply(&transition, fixtures::time(30)).unwrap();
    }
    store.put(EXPORTS, fixtures::EXPORT, documents::create(&export));
    let response = get_as(&store, fixtures::ADA, "/exports/job-1").await;
    insta::assert_json_snapshot!(response.json()["latest_export"], @r#"
    {
      "artifacts": [
        {
          "path": "gs://files/job-1/model.gguf",
          "type": "gguf",
          "variant": "file"
        }
      ],
      "destination": [
        "gcs"
      ],
      "export_id": "0b9f8a52-3d0f-4a9e-8c3b-5f0e6f2a7d10",
      "failure": null,
      "finished_at": "2026-09-21T14:13:50Z",
      "hf_repo_id": null,
      "job_id": "job-1",
      "message": "Exported",
      "progress": {
        "bytes_done": 60,
        "bytes_total": 100,
        "stage": "export"
      },
      "proof": {
        "largest_change": 0.0625,
        "logits": {
          "kl_max": 0.004,
          "kl_mean": 0.0005,
          "tokens": 64,
          "top1": 0.984375
        },
        "pairs": 182,
        "report_sha256": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
        "rmse": 0.001,
        "sha256": "abababababababababababababababababababababababababababababababab",
        "tensors_changed": 182,
        "tensors_unchanged": 158
      },
      "quantization": "q8_0",
      "started_at": "2026-09-21T14:13:20Z",
      "status": "completed",
      "type": "gguf",
      "updated_at": "2026-09-21T14:13:50Z"
    }
    "#);
}

#[tokio::test]
async fn a_running_export_fails_when_its_lease_expires() {
    let store = store();
    for (started, status) in [(clock::now(), "running"), (fixtures::time(0), "failed")] {
        let export = fixtures::new_export(fixtures::EXPORT.parse().unwrap(), fixtures::JOB, started);
        store.put(EXPORTS, fixtures::EXPORT, documents::create(&export));
        let response = get_as(&store, fixtures::ADA, "/exports/job-1").await;
        assert_eq!(response.json()["latest_export"]["status"], status);
    }
}

#[tokio::test]
async fn other_users_and_invalid_ids_are_rejected() {
    let store = store();
    let rows = [
        (fixtures::BOB, "/exports/job-1", 403, "not-owner"),
        (fixtures::ADA, "/exports/job-2", 404, "no-such-job"),
        (fixtures::ADA, "/exports/a%2Fb", 400, "invalid-request"),
        (fixtures::ADA, "/exports/__x__", 400, "invalid-request"),
        (fixtures::ADA, "/exports/%00", 400, "invalid-request"),
        (fixtures::ADA, "/exports/%FF", 400, "invalid-request"),
        (fixtures::ADA, "/exports/%2e%2e", 400, "invalid-request"),
        (fixtures::ADA, "/exports/a/b", 404, "no-such-path"),
        (fixtures::ADA, "/exports/", 404, "no-such-path"),
    ];
    for (uid, path, status, code) in rows {
        let response = get_as(&store, uid, path).await;
        assert_eq!(response.status.as_u16(), status, "{path}");
        assert_eq!(response.json()["type"], format!("urn:export-service:problem:{code}"), "{path}");
    }
    let unauthenticated = send(&function(&store), request("GET", "/exports/__x__", None)).await;
    assert_eq!(unauthenticated.status.as_u16(), 401, "authentication comes before validation");
}

#[tokio::test]
async fn an_id_can_contain_any_valid_firestore_characters() {
    let store = store();
    let job = json!({"user_id": fixtures::ADA, "status": "running"});
    store.put(TRAINING_JOBS, "ü 100%", job);
    let response = get_as(&store, fixtures::ADA, "/exports/%C3%BC%20100%25").await;
    assert_eq!((response.status.as_u16(), &response.json()["job_id"]), (200, &json!("ü 100%")));
}
