//! A training job, an export and its transitions.

use std::num::NonZeroU16;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::{
    AdapterBeside, AnswerSample, Artifact, ArtifactFile, ArtifactKind, Claim, CreateExport, Destinations,
    ExecutionName, Export, ExportId, Failure, FailureCode, Finding, FindingSeverity, GgufKind, JobId,
    LeftOutPrompts, LogitDivergence, NewExport, ProcessId, Progress, PromptSource, PromptUse, Proof,
    Quantization, Stage, SurvivalShare, TensorSurvival, Transition, UserId, Variant,
};

/// The project id in tests.
pub const PROJECT: &str = "demo-project";
/// A user, the owner of [`training_job`].
pub const ADA: &str = "ada-uid";
/// Another user.
pub const BOB: &str = "bob-uid";
/// The job of [`training_job`] and [`export`].
pub const JOB: &str = "job-1";
/// The id of [`export`].
pub const EXPORT: &str = "0b9f8a52-3d0f-4a9e-8c3b-5f0e6f2a7d10";

/// How long the document of [`export`] is kept.
pub const RETENTION_DAYS: Option<NonZeroU16> = NonZeroU16::new(365);

/// A fixed time plus `seconds`.
#[must_use]
pub fn time(seconds: i64) -> Timestamp {
    Timestamp::constant(1_790_000_000, 0)
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or_default()
}

/// Parses a uid.
///
/// # Panics
/// If it is invalid.
#[must_use]
pub fn user(uid: &str) -> UserId {
    uid.parse().expect("a uid")
}

/// Parses a job id.
///
/// # Panics
/// If it is invalid.
#[must_use]
pub fn job_id(id: &str) -> JobId {
    id.parse().expect("a job id")
}

/// A request for a q8_0 GGUF of that job, exported to Google Cloud Storage.
#[must_use]
pub fn request(job: &str) -> CreateExport {
    CreateExport {
        job_id: job_id(job),
        kind: ArtifactKind::Gguf,
        destinations: Destinations::default(),
        hf_token: None,
        hf_repo: None,
        hf_private: true,
        quantizations: vec![Quantization::Q8_0],
        gguf_kind: GgufKind::Model,
        imatrix: None,
        prompts_uri: None,
        max_bytes: None,
        calibration_uri: None,
    }
}

/// The export [`EXPORT`] of [`JOB`] by [`ADA`], just started.
///
/// # Panics
/// Never: the id is valid.
#[must_use]
pub fn export() -> Export {
    new_export(EXPORT.parse().expect("an export id"), JOB, time(0))
}

/// An export by [`ADA`], just started.
#[must_use]
pub fn new_export(id: ExportId, job: &str, now: Timestamp) -> Export {
    let new = NewExport {
        id,
        user: &user(ADA),
        request: &request(job),
        request_hash: None,
        retention_days: RETENTION_DAYS,
    };
    Export::new(&new, now)
}

/// The claim of the first attempt of an execution, with a random process id.
#[must_use]
pub fn claim(by: &str) -> Claim {
    Claim { by: ExecutionName::new(by), attempt: 0, process: Some(ProcessId::random()) }
}

/// The artifact of [`lifecycle`].
#[must_use]
pub fn gguf() -> Artifact {
    let file = |name: &str, bytes| ArtifactFile { name: name.to_owned(), bytes, sha256: "ab".repeat(32) };
    Artifact {
        quantization: Some(Quantization::Q8_0),
        files: vec![file("model.gguf", 291_545_600), file("model.report.json", 61_444)],
        proof: Some(proof()),
        ..Artifact::new(ArtifactKind::Gguf, Variant::File, format!("gs://files/{JOB}/model.gguf"))
    }
}

/// The report summary of that export.
#[must_use]
pub fn proof() -> Proof {
    Proof {
        pairs: 182,
        tensors_changed: 182,
        tensors_unchanged: 158,
        largest_change: Some(0.0625),
        rmse: Some(0.001),
        sha256: Some("ab".repeat(32)),
        report_sha256: "cd".repeat(32),
        logits: Some(LogitDivergence { tokens: 64, kl_mean: 0.0005, kl_max: 0.004, top1: 0.984_375 }),
        survival: Some(SurvivalShare {
            survival: Some(0.9375),
            kl_export: 0.0005,
            kl_base: 0.008,
            changed_top1: Some(0.875),
            prompts: PromptUse {
                source: PromptSource::File,
                available: 120,
                used: 16,
                left_out: Some(LeftOutPrompts::shortened(1, "line 7: its length is not 1 to 512 tokens")),
            },
            adapter_beside: Some(AdapterBeside {
                survival: Some(0.984_375),
                kl: 0.000_125,
                changed_top1: Some(1.0),
            }),
            worst_tensors: vec![TensorSurvival {
                tensor: "model.layers.3.mlp.down_proj.weight".to_owned(),
                cosine: 0.75,
                norm_ratio: 0.5,
            }],
            samples: vec![AnswerSample {
                prompt: "Who wrote it?".to_owned(),
                base: "I do not know.".to_owned(),
                fine_tuned: "Ada wrote it.".to_owned(),
                export: "Ada wrote it.".to_owned(),
            }],
        }),
        findings: vec![Finding {
            code: "pad_ends_answers".to_owned(),
            severity: FindingSeverity::Warning,
            message: "the padding token <eos> (1) also ends an answer".to_owned(),
            remedy: "train with another padding token, such as <pad>".to_owned(),
        }],
    }
}

/// A failure with that message.
#[must_use]
pub fn failure(message: &str) -> Failure {
    Failure::new(FailureCode::Interrupted, message)
}

/// The transitions of a successful export.
#[must_use]
pub fn lifecycle() -> [Transition; 5] {
    let by = claim("run-1");
    let report = |bytes_done| Transition::Progress {
        claim: by.clone(),
        progress: Progress { stage: Stage::Export, bytes_done, bytes_total: 100 },
        message: "Writing the model".to_owned(),
    };
    [
        Transition::Claim(by.clone()),
        report(10),
        report(60),
        Transition::Launched(by.by.clone()),
        Transition::Complete {
            claim: by.clone(),
            artifacts: vec![gguf()],
            proof: Some(Box::new(proof())),
            message: "Exported".to_owned(),
        },
    ]
}

/// A completed training job of `owner`, as the Training Service writes it.
#[must_use]
pub fn training_job(owner: &str) -> Value {
    json!({
        "job_name": "Support bot", "user_id": owner, "status": "completed", "base_model_id": "google/gemma-3-1b-it",
        "modality": "text", "artifacts": {"raw": {"adapter": "gs://models/adapters/job-1"}},
        "created_at": "2026-05-01T12:00:00Z", "unknown_field": {"kept": [1, 2]},
    })
}
