//! An export, as callers see it.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{
    Artifact, ArtifactKind, Destinations, Export, ExportId, HubRepo, JobId, Progress, Proof, Quantization,
    Status,
};

/// One export, and how it stands.
// The fields up to `finished_at` are the contract; `quantization`, `progress` and `proof` were added.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Export))]
pub struct ExportBody {
    export_id: ExportId,
    job_id: JobId,
    /// What it makes, as asked for.
    #[serde(rename = "type")]
    kind: ArtifactKind,
    /// Where it goes, as asked for.
    destination: Destinations,
    /// The repository on the Hub, as asked for.
    hf_repo_id: Option<HubRepo>,
    /// `running`, then `completed` or `failed`, and never anything else.
    status: Status,
    /// What happens, or what went wrong and what to do.
    message: Option<String>,
    /// What it made.
    artifacts: Vec<Artifact>,
    started_at: Timestamp,
    updated_at: Timestamp,
    /// Null while it runs.
    finished_at: Option<Timestamp>,
    /// Of a GGUF; null otherwise.
    quantization: Option<Quantization>,
    /// How far it is.
    progress: Option<Progress>,
    /// What it proved; null until it is completed.
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
