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
      "created_at": "2026-05-01T12:00:00Z",
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
          "files": [
            {
              "bytes": 291545600,
              "link": "https://files.test/job-1/model.gguf?signed",
              "name": "model.gguf",
              "sha256": "abababababababababababababababababababababababababababababababab"
            },
            {
              "bytes": 61444,
              "link": "https://files.test/job-1/model.report.json?signed",
              "name": "model.report.json",
              "sha256": "abababababababababababababababababababababababababababababababab"
            }
          ],
          "path": "gs://files/job-1/model.gguf",
          "proof": {
            "findings": [
              {
                "code": "pad_ends_answers",
                "message": "the padding token <eos> (1) also ends an answer",
                "remedy": "train with another padding token, such as <pad>",
                "severity": "warning"
              }
            ],
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
            "survival": {
              "adapter_beside": {
                "changed_top1": 1.0,
                "kl": 0.000125,
                "survival": 0.984375
              },
              "changed_top1": 0.875,
              "kl_base": 0.008,
              "kl_export": 0.0005,
              "prompts": {
                "available": 120,
                "left_out": {
                  "count": 1,
                  "first": "line 7: its length is not 1 to 512 tokens"
                },
                "source": "file",
                "used": 16
              },
              "samples": [
                {
                  "base": "I do not know.",
                  "export": "Ada wrote it.",
                  "fine_tuned": "Ada wrote it.",
                  "prompt": "Who wrote it?"
                }
              ],
              "survival": 0.9375,
              "worst_tensors": [
                {
                  "cosine": 0.75,
                  "norm_ratio": 0.5,
                  "tensor": "model.layers.3.mlp.down_proj.weight"
                }
              ]
            },
            "tensors_changed": 182,
            "tensors_unchanged": 158
          },
          "quantization": "q8_0",
          "type": "gguf",
          "variant": "file"
        }
      ],
      "calibration_uri": null,
      "destination": [
        "gcs"
      ],
      "eta_seconds": null,
      "export_id": "0b9f8a52-3d0f-4a9e-8c3b-5f0e6f2a7d10",
      "failure": null,
      "finished_at": "2026-09-21T14:13:50Z",
      "gguf_kind": "model",
      "hf_repo_id": null,
      "imatrix": null,
      "job_id": "job-1",
      "max_bytes": null,
      "message": "Exported",
      "progress": {
        "bytes_done": 60,
        "bytes_total": 100,
        "stage": "export"
      },
      "prompts_uri": null,
      "proof": {
        "findings": [
          {
            "code": "pad_ends_answers",
            "message": "the padding token <eos> (1) also ends an answer",
            "remedy": "train with another padding token, such as <pad>",
            "severity": "warning"
          }
        ],
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
        "survival": {
          "adapter_beside": {
            "changed_top1": 1.0,
            "kl": 0.000125,
            "survival": 0.984375
          },
          "changed_top1": 0.875,
          "kl_base": 0.008,
          "kl_export": 0.0005,
          "prompts": {
            "available": 120,
            "left_out": {
              "count": 1,
              "first": "line 7: its length is not 1 to 512 tokens"
            },
            "source": "file",
            "used": 16
          },
          "samples": [
            {
              "base": "I do not know.",
              "export": "Ada wrote it.",
              "fine_tuned": "Ada wrote it.",
              "prompt": "Who wrote it?"
            }
          ],
          "survival": 0.9375,
          "worst_tensors": [
            {
              "cosine": 0.75,
              "norm_ratio": 0.5,
              "tensor": "model.layers.3.mlp.down_proj.weight"
            }
          ]
        },
        "tensors_changed": 182,
        "tensors_unchanged": 158
      },
      "quantization": "q8_0",
      "quantizations": [
        "q8_0"
      ],
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

/// Stores exports of the job, the newest first.
fn put_exports(store: &MemoryStore, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let mut export = fixtures::export();
        export.id = shared::domain::ExportId::random();
        export.started_at = fixtures::time(number as i64);
        ids.insert(0, export.id.to_string());
        store.put(EXPORTS, &ids[0], documents::create(&export));
    }
    ids
}

#[tokio::test]
async fn a_history_is_paged_by_tokens() {
    let store = store();
    let ids = put_exports(&store, 5);
    let mut seen = Vec::new();
    let mut path = "/exports/job-1/history?page_size=2".to_owned();
    loop {
        let page = get_as(&store, fixtures::ADA, &path).await.json();
        let exports = page["exports"].as_array().unwrap().iter();
        seen.extend(exports.map(|export| export["export_id"].as_str().unwrap().to_owned()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/exports/job-1/history?page_size=2&page_token={token}");
    }
    assert_eq!(seen, ids);
    let one = get_as(&store, fixtures::ADA, &format!("/exports/job-1/history/{}", ids[3])).await.json();
    assert_eq!(one["export_id"], ids[3].as_str());
}

#[tokio::test]
async fn what_a_history_refuses() {
    let store = store();
    put_exports(&store, 1);
    let mut elsewhere = fixtures::export();
    elsewhere.id = shared::domain::ExportId::random();
    elsewhere.job_id = "job-9".parse().unwrap();
    let foreign = elsewhere.id.to_string();
    store.put(EXPORTS, &foreign, documents::create(&elsewhere));
    for (path, status, kind) in [
        ("/exports/job-1/history?page_size=0".to_owned(), 400, "invalid-request"),
        ("/exports/job-1/history?page_size=101".to_owned(), 400, "invalid-request"),
        ("/exports/job-1/history?page_token=x".to_owned(), 400, "invalid-request"),
        (format!("/exports/job-1/history?page_token={foreign}"), 400, "invalid-request"),
        (format!("/exports/job-1/history/{foreign}"), 404, "no-such-export"),
        ("/exports/job-1/history/x".to_owned(), 400, "invalid-request"),
        ("/exports/job-2/history".to_owned(), 404, "no-such-job"),
    ] {
        let response = get_as(&store, fixtures::ADA, &path).await;
        assert_eq!(response.status.as_u16(), status, "{path}");
        assert!(response.json()["type"].as_str().unwrap().ends_with(kind), "{path}");
    }
    for path in ["/exports/job-1/history", "/exports/job-1/history/00000000-0000-4000-8000-000000000000"] {
        assert_eq!(get_as(&store, "ben-uid", path).await.status.as_u16(), 403, "{path}");
    }
}
