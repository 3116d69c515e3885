//! A training job in responses.

use jiff::Timestamp;
use serde::Serialize;

use super::ExportBody;
use crate::{
    domain::{ArtifactKind, Artifacts, JobId, TrainingJob, UserId, Variant},
    service::{get::JobWithExport, links::FileLinks},
};

/// A training job.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TrainingJob))]
pub struct JobBody {
    job_id: JobId,
    /// The name that the owner gave the job.
    job_name: Option<String>,
    /// The owner.
    user_id: Option<UserId>,
    /// URL of the adapter folder.
    adapter_path: Option<String>,
    /// The base model on the Hugging Face Hub, `owner/name`.
    base_model_id: Option<String>,
    /// The modality; `text` if the job has none.
    modality: String,
    /// When the job was created; null if its document does not say.
    created_at: Option<Timestamp>,
    artifacts: ArtifactsBody,
}

/// The artifacts that exports of the job have created so far.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Artifacts))]
struct ArtifactsBody {
    /// Files to download: `gs://` paths in the list, download links for a single job.
    file: FilePathsBody,
    /// Folders in a bucket, which later exports read.
    raw: RawPathsBody,
    /// Repositories on the Hugging Face Hub, `owner/name`.
    hf: FilePathsBody,
}

/// A path for each type; null if there is none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ArtifactPaths))]
struct FilePathsBody {
    adapter: Option<String>,
    merged: Option<String>,
    gguf: Option<String>,
}

/// A path for each type; null if there is none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RawArtifactPaths))]
struct RawPathsBody {
    adapter: Option<String>,
    merged: Option<String>,
}

/// A training job and its latest export.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TrainingJobWithExport))]
pub struct JobWithExportBody {
    #[serde(flatten)]
    job: JobBody,
    /// Null if the job has no export.
    latest_export: Option<ExportBody>,
}

impl From<TrainingJob> for JobBody {
    fn from(job: TrainingJob) -> Self {
        let artifacts = ArtifactsBody {
            file: FilePathsBody::new(&job.artifacts, Variant::File),
            raw: RawPathsBody {
                adapter: path(&job.artifacts, Variant::Raw, ArtifactKind::Adapter),
                merged: path(&job.artifacts, Variant::Raw, ArtifactKind::Merged),
            },
            hf: FilePathsBody::new(&job.artifacts, Variant::Hf),
        };
        Self {
            job_id: job.id,
            job_name: job.name,
            user_id: job.owner,
            adapter_path: job.adapter_path,
            base_model_id: job.base_model_id,
            modality: job.modality,
            created_at: job.created_at,
            artifacts,
        }
    }
}

impl From<JobWithExport> for JobWithExportBody {
    /// `file` holds download links, which a browser can open.
    fn from(found: JobWithExport) -> Self {
        let JobWithExport { job, latest, links } = found;
        let mut job = JobBody::from(job);
        job.artifacts.file = job.artifacts.file.linked(&links);
        Self { job, latest_export: latest.map(|export| ExportBody::new(export, &links)) }
    }
}

impl FilePathsBody {
    fn new(artifacts: &Artifacts, variant: Variant) -> Self {
        Self {
            adapter: path(artifacts, variant, ArtifactKind::Adapter),
            merged: path(artifacts, variant, ArtifactKind::Merged),
            gguf: path(artifacts, variant, ArtifactKind::Gguf),
        }
    }

    /// FileLinks in place of the paths.
    fn linked(self, links: &FileLinks) -> Self {
        let link = |path: Option<String>| links.get(&path?).map(str::to_owned);
        Self { adapter: link(self.adapter), merged: link(self.merged), gguf: link(self.gguf) }
    }
}

fn path(artifacts: &Artifacts, variant: Variant, kind: ArtifactKind) -> Option<String> {
    artifacts.path(variant, kind).map(str::to_owned)
}
