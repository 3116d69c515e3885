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

/// A training job.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TrainingJob))]
pub struct JobBody {
    job_id: JobId,
    /// What its owner called it.
    job_name: Option<String>,
    /// Whose it is.
    user_id: Option<UserId>,
    /// Where the adapter is.
    adapter_path: Option<String>,
    /// The base model on the Hugging Face Hub, `owner/name`.
    base_model_id: Option<String>,
    /// `text` unless the job says otherwise.
    modality: String,
    artifacts: ArtifactsBody,
}

/// What exports of a job made so far.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Artifacts))]
struct ArtifactsBody {
    /// Files to download: places in a bucket or, for a single job, links.
    file: FileBody,
    /// Folders in a bucket, for later exports to start from.
    raw: RawBody,
    /// Repositories on the Hugging Face Hub, `owner/name`.
    hf: FileBody,
}

/// By kind; null for what does not exist.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ArtifactPaths))]
struct FileBody {
    adapter: Option<String>,
    merged: Option<String>,
    gguf: Option<String>,
}

/// By kind; null for what does not exist.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RawArtifactPaths))]
struct RawBody {
    adapter: Option<String>,
    merged: Option<String>,
}

/// A training job and its latest export.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TrainingJobWithExport))]
pub struct JobWithExportBody {
    #[serde(flatten)]
    job: JobBody,
    /// Null when nobody has exported the job.
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
