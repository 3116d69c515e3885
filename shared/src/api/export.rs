//! An export in responses.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    domain::{
        Artifact, ArtifactFile, ArtifactKind, Destinations, Export, ExportId, Failure, GgufKind, HubRepo,
        JobId, Progress, Proof, Quantization, Status, Variant,
    },
    service::links::FileLinks,
};

/// An export and its current state.
// The fields up to `finished_at` are the original contract; those after it were added later.
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
    artifacts: Vec<ArtifactBody>,
    started_at: Timestamp,
    updated_at: Timestamp,
    /// Null while the export is running.
    finished_at: Option<Timestamp>,
    /// The quantization type of a GGUF, the first if there are several; null for other types, and with `max_bytes`.
    quantization: Option<Quantization>,
    /// The quantization types of a GGUF; empty for other types, and with `max_bytes`.
    quantizations: Vec<Quantization>,
    /// What a GGUF has: the model, or the adapter alone; null for other types.
    gguf_kind: Option<GgufKind>,
    /// The importance matrix of a GGUF, if requested.
    imatrix: Option<String>,
    /// The prompts with which survival is measured, if requested.
    prompts_uri: Option<String>,
    /// The size for which types are chosen, if requested.
    max_bytes: Option<u64>,
    /// The text that an importance matrix was computed from, if requested.
    calibration_uri: Option<String>,
    /// Progress in bytes of output.
    progress: Option<Progress>,
    /// How many seconds the current step still takes at its speed so far; null while that is unknown, and after the end.
    eta_seconds: Option<u64>,
    /// Summary of the export report; null until the export is completed.
    proof: Option<Proof>,
    /// Why the export failed; null for other states, and for exports that failed before this field existed.
    failure: Option<Failure>,
}

/// An artifact of an export.
// `type`, `path` and `variant` are the original contract.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Artifact))]
struct ArtifactBody {
    /// The artifact type.
    #[serde(rename = "type")]
    kind: ArtifactKind,
    /// The location: `gs://…` or, on the Hub, `owner/name`.
    path: String,
    /// The form in which it is stored.
    variant: Variant,
    /// The quantization type of a GGUF; null for other types, with `max_bytes`, and in exports that are older than this field.
    quantization: Option<Quantization>,
    /// The files to download; empty for other variants, and in exports that are older than this field.
    files: Vec<ArtifactFileBody>,
    /// Summary of its report; null for adapters, and in exports that are older than this field.
    proof: Option<Proof>,
}

/// A file of an artifact.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ArtifactFile))]
struct ArtifactFileBody {
    /// The file's name.
    name: String,
    /// The size in bytes.
    bytes: u64,
    /// SHA-256 in lower-case hex.
    sha256: String,
    /// A link that needs no sign-in and is valid for 15 minutes; null in lists, and when the link cannot be created.
    link: Option<String>,
}

impl ArtifactBody {
    fn new(artifact: &Artifact, links: &FileLinks) -> Self {
        let file = |(file, location): (&ArtifactFile, String)| ArtifactFileBody {
            name: file.name.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            link: links.get(&location).map(str::to_owned),
        };
        Self {
            kind: artifact.kind,
            path: artifact.path.clone(),
            variant: artifact.variant,
            quantization: artifact.quantization,
            files: artifact.located_files().map(file).collect(),
            proof: artifact.proof.clone(),
        }
    }
}

/// An export in a list, without links.
impl From<Export> for ExportBody {
    fn from(export: Export) -> Self {
        Self::new(export, &FileLinks::default())
    }
}

impl ExportBody {
    /// The export, with links to its files.
    #[must_use]
    pub fn new(export: Export, links: &FileLinks) -> Self {
        Self {
            eta_seconds: export.eta_seconds(),
            export_id: export.id,
            job_id: export.job_id,
            kind: export.kind,
            destination: export.destinations,
            hf_repo_id: export.hf_repo,
            status: export.status,
            message: export.message,
            artifacts: export.artifacts.iter().map(|artifact| ArtifactBody::new(artifact, links)).collect(),
            started_at: export.started_at,
            updated_at: export.updated_at,
            finished_at: export.finished_at,
            quantization: export.quantizations.first().copied(),
            gguf_kind: (export.kind == ArtifactKind::Gguf).then_some(export.gguf_kind),
            quantizations: export.quantizations,
            imatrix: export.imatrix,
            prompts_uri: export.prompts_uri,
            max_bytes: export.max_bytes,
            calibration_uri: export.calibration_uri,
            progress: export.progress,
            proof: export.proof,
            failure: export.failure,
        }
    }
}
