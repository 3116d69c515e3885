//! The manifest of an artifact: where its files are, their sizes and hashes, and the fingerprint of its inputs.

use std::collections::BTreeMap;

use engine::WrittenFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::domain::{ArtifactFile, ProcessId, Proof};

/// The JSON document that publishes an artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The artifact's name, such as `merged` or `q8_0`. An artifact replaces an older one of the same name.
    pub(crate) artifact: String,
    /// The fingerprint of inputs and options.
    pub(crate) fingerprint: String,
    /// The folder of the files, below that of the training job.
    pub(crate) folder: String,
    /// The name of the base model that an adapter was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base_model: Option<String>,
    /// The export that wrote the files.
    pub(crate) export_id: String,
    /// When the manifest was written.
    pub(crate) made_at: Timestamp,
    /// Every file of the artifact.
    pub(crate) files: Vec<ManifestFile>,
    /// The entity tags that the storage gave the files, by their names: a file that has another is not the one that was written.
    #[serde(default)]
    pub(crate) entity_tags: BTreeMap<String, String>,
    /// The summary of the export's report.
    #[serde(default)]
    pub(crate) proof: Option<Proof>,
}

/// One file of a [`Manifest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    /// The name in its folder.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// SHA-256 in lower-case hex.
    pub(crate) sha256: String,
}

/// The export that makes an artifact, as the file beside the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MakerClaim {
    pub(crate) export_id: String,
    pub(crate) process: Option<ProcessId>,
    /// The folder it writes to.
    pub(crate) folder: String,
}

impl From<ManifestFile> for ArtifactFile {
    fn from(file: ManifestFile) -> Self {
        Self { name: file.name, bytes: file.size, sha256: file.sha256 }
    }
}

impl From<WrittenFile> for ManifestFile {
    fn from(file: WrittenFile) -> Self {
        Self { name: file.name, size: file.size, sha256: file.sha256 }
    }
}
