//! An export, as callers see it.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{
    Artifact, ArtifactKind, Destinations, Export, ExportId, HubRepo, JobId, Progress, Proof, Quantization,
    Status,
};

/// The fields up to `finished_at` are the contract; `quantization`, `progress` and `proof` were added.
#[derive(Debug, Serialize)]
pub struct ExportBody {
    export_id: ExportId,
    job_id: JobId,
    #[serde(rename = "type")]
    kind: ArtifactKind,
    destination: Destinations,
    hf_repo_id: Option<HubRepo>,
    status: Status,
    message: Option<String>,
    artifacts: Vec<Artifact>,
    started_at: Timestamp,
    updated_at: Timestamp,
    finished_at: Option<Timestamp>,
    quantization: Option<Quantization>,
    progress: Option<Progress>,
    proof: Option<Proof>,
}

impl From<Export> for ExportBody {
    fn from(export: Export) -> Self {
        Self {
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
        }
    }
}
