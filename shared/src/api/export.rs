//! An export in responses.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{
    Artifact, ArtifactKind, Destinations, Export, ExportId, Failure, HubRepo, JobId, Progress, Proof,
    Quantization, Status,
};

/// An export and its current state.
// The fields up to `finished_at` are the original contract; `quantization`, `progress`, `eta_seconds`, `proof` and `failure` were added later.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Export))]
pub struct ExportBody {
    export_id: ExportId,
    job_id: JobId,
    /// The requested artifact type.
    #[serde(rename = "type")]
    kind: ArtifactKind,
    /// The requested destinations.
    destination: Destinations,
    /// The requested repository on the Hub.
    hf_repo_id: Option<HubRepo>,
    /// `running`, then `completed` or `failed`.
    status: Status,
    /// The current step, or what failed and what to do about it.
    message: Option<String>,
    /// The created artifacts.
    artifacts: Vec<Artifact>,
    started_at: Timestamp,
    updated_at: Timestamp,
    /// Null while the export is running.
    finished_at: Option<Timestamp>,
    /// The quantization type of a GGUF; null for other types.
    quantization: Option<Quantization>,
    /// Progress in bytes of output.
    progress: Option<Progress>,
    /// How many seconds the current step still takes at its speed so far; null while that is unknown, and after the end.
    eta_seconds: Option<u64>,
    /// Summary of the export report; null until the export is completed.
    proof: Option<Proof>,
    /// Why the export failed; null for other states, and for exports that failed before this field existed.
    failure: Option<Failure>,
}

impl From<Export> for ExportBody {
    fn from(export: Export) -> Self {
        Self {
            eta_seconds: export.eta_seconds(),
            export_id: export.id,
            job_id: export.job_id,
            kind: export.kind,
            destination: export.destinations,
            hf_repo_id: export.hf_repo,
            status: export.status,
            message: export.message,
            artifacts: export.artifacts,
            started_at: export.started_at,
            updated_at: export.updated_at,
            finished_at: export.finished_at,
            quantization: export.quantization,
            progress: export.progress,
            proof: export.proof,
            failure: export.failure,
        }
    }
}
