//! The manifest of an artifact: its files with sizes and hashes, and the fingerprint of its inputs.

use engine::WrittenFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::domain::Proof;

/// The JSON document beside an artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The fingerprint of inputs and options.
    pub(crate) fingerprint: String,
    /// The export that wrote the files.
    pub(crate) export_id: String,
    /// When the manifest was written.
    pub(crate) made_at: Timestamp,
    /// Every file of the artifact.
    pub(crate) files: Vec<ManifestFile>,
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

impl From<WrittenFile> for ManifestFile {
    fn from(file: WrittenFile) -> Self {
        Self { name: file.name, size: file.size, sha256: file.sha256 }
    }
}
