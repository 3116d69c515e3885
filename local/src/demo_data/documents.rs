//! The training jobs of the demo: two users, every status, and both fields that documents have for an adapter's path.

use serde_json::{Value, json};

use super::{BIG_BASE, GEMMA2, GEMMA3};

/// Paths in the bucket of training results; the first segment is the owner.
pub(crate) const BIG_ADAPTER: &str = "ada/sonnets-1b";
pub(crate) const MICRO_ADAPTER: &str = "ada/recipes";
pub(crate) const FULL_MODEL: &str = "ada/assistant-full";
pub(crate) const BROKEN_ADAPTER: &str = "ada/broken";
pub(crate) const BENS_ADAPTER: &str = "ben/tickets";

/// The id and the document of every job; `training` is the URL of the bucket of training results.
pub(crate) fn training_jobs(training: &str) -> Vec<(&'static str, Value)> {
    let at = |path: &str| format!("{training}/{path}");
    vec![
        (
            "ada-sonnets-1b",
            json!({
                "user_id": "ada", "job_name": "Sonnets", "status": "completed", "modality": "text",
                "base_model_id": BIG_BASE, "created_at": "2026-05-06T09:30:00Z",
                "artifacts": { "raw": { "adapter": at(BIG_ADAPTER) } },
            }),
        ),
        (
            "ada-recipes",
            json!({
                "user_id": "ada", "job_name": "Family recipes", "status": "completed",
                "base_model_id": GEMMA3, "created_at": "2026-05-05T17:12:00Z",
                "adapter_path": at(MICRO_ADAPTER),
            }),
        ),
        (
            "ada-assistant-full",
            json!({
                "user_id": "ada", "job_name": "Assistant, full fine-tune", "status": "completed",
                "base_model_id": GEMMA3, "created_at": "2026-05-04T08:00:00Z",
                "adapter_path": at(FULL_MODEL),
            }),
        ),
        (
            "ada-broken",
            json!({
                "user_id": "ada", "job_name": "Upload cut short", "status": "completed",
                "base_model_id": GEMMA3, "created_at": "2026-05-03T22:45:00Z",
                "adapter_path": at(BROKEN_ADAPTER),
            }),
        ),
        (
            "ada-in-training",
            json!({
                "user_id": "ada", "job_name": "Still in training", "status": "running",
                "base_model_id": GEMMA3, "created_at": "2026-05-06T10:00:00Z",
            }),
        ),
        (
            "ada-failed",
            json!({
                "user_id": "ada", "job_name": "Out of memory", "status": "failed",
                "base_model_id": GEMMA3, "created_at": "2026-05-02T11:20:00Z",
            }),
        ),
        (
            "ben-tickets",
            json!({
                "user_id": "ben", "job_name": "Support tickets", "status": "completed", "modality": "text",
                "base_model_id": GEMMA2, "created_at": "2026-05-01T13:37:00Z",
                "artifacts": { "raw": { "adapter": at(BENS_ADAPTER) } },
            }),
        ),
        (
            "ben-in-training",
            json!({
                "user_id": "ben", "job_name": "Tone of voice", "status": "running",
                "base_model_id": GEMMA2, "created_at": "2026-05-06T07:05:00Z",
            }),
        ),
    ]
}
