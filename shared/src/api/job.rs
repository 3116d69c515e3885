//! A training job, as callers see it.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::Serialize;

use super::{ExportBody, Problem};
use crate::{
    domain::{ArtifactKind, Artifacts, InvalidId, JobId, TrainingJob, UserId, Variant},
    service::get::JobWithExport,
};

/// The job that a path names in its one parameter.
#[derive(Debug)]
pub struct JobPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let not_text = |_| Problem::invalid("job_id", "job_id: must be UTF-8");
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(not_text)?;
        let not_an_id = |why: InvalidId| Problem::invalid("job_id", format!("job_id: {why}"));
        id.parse().map(Self).map_err(not_an_id)
    }
}

/// One job of `GET /exports`.
#[derive(Debug, Serialize)]
pub struct JobBody {
    job_id: JobId,
    job_name: Option<String>,
    user_id: Option<UserId>,
    adapter_path: Option<String>,
    base_model_id: Option<String>,
    modality: String,
    artifacts: ArtifactsBody,
}

#[derive(Debug, Serialize)]
struct ArtifactsBody {
    file: FileBody,
    raw: RawBody,
    hf: FileBody,
}

/// Paths by kind, null for what does not exist.
#[derive(Debug, Serialize)]
struct FileBody {
    adapter: Option<String>,
    merged: Option<String>,
    gguf: Option<String>,
}

#[derive(Debug, Serialize)]
struct RawBody {
    adapter: Option<String>,
    merged: Option<String>,
}

/// `GET /exports/{job_id}`.
#[derive(Debug, Serialize)]
pub struct JobWithExportBody {
    #[serde(flatten)]
    job: JobBody,
    latest_export: Option<ExportBody>,
}

impl From<TrainingJob> for JobBody {
    fn from(job: TrainingJob) -> Self {
        let artifacts = ArtifactsBody {
            file: FileBody::new(&job.artifacts, Variant::File),
            raw: RawBody {
                adapter: path(&job.artifacts, Variant::Raw, ArtifactKind::Adapter),
                merged: path(&job.artifacts, Variant::Raw, ArtifactKind::Merged),
            },
            hf: FileBody::new(&job.artifacts, Variant::Hf),
        };
        Self {
            job_id: job.id,
            job_name: job.name,
            user_id: job.owner,
            adapter_path: job.adapter_path,
            base_model_id: job.base_model_id,
            modality: job.modality,
            artifacts,
        }
    }
}

impl From<JobWithExport> for JobWithExportBody {
    /// Files are links here, because that is what a browser can open.
    fn from(found: JobWithExport) -> Self {
        let links = Artifacts::from_iter(found.downloads);
        let mut job = JobBody::from(found.job);
        job.artifacts.file = FileBody::new(&links, Variant::File);
        Self { job, latest_export: found.latest.map(Into::into) }
    }
}

impl FileBody {
    fn new(artifacts: &Artifacts, variant: Variant) -> Self {
        Self {
            adapter: path(artifacts, variant, ArtifactKind::Adapter),
            merged: path(artifacts, variant, ArtifactKind::Merged),
            gguf: path(artifacts, variant, ArtifactKind::Gguf),
        }
    }
}

fn path(artifacts: &Artifacts, variant: Variant, kind: ArtifactKind) -> Option<String> {
    artifacts.path(variant, kind).map(str::to_owned)
}
