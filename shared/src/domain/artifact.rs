//! The artifacts that an export creates, and where they are stored.

use serde::{Deserialize, Serialize};

use super::{Proof, Quantization};

/// The artifact type; the field `type` on the wire and in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// The LoRA adapter, unchanged.
    Adapter,
    /// The base model with the adapter merged into it.
    Merged,
    /// A GGUF file for llama.cpp and Ollama.
    Gguf,
}

impl ArtifactKind {
    /// The name on the wire, in documents and in paths.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Merged => "merged",
            Self::Gguf => "gguf",
        }
    }
}

/// The form in which an artifact is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// A folder of model files in the bucket of raw models, which later exports read.
    Raw,
    /// One file in the bucket of downloads.
    File,
    /// A repository on the Hugging Face Hub.
    Hf,
}

impl Variant {
    /// The name on the wire and in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::File => "file",
            Self::Hf => "hf",
        }
    }
}

/// An artifact of an export. `path` is a URL (`gs://…`, `file://…`) or, on the Hub, `owner/name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// The artifact type.
    #[serde(rename = "type")]
    pub kind: ArtifactKind,
    /// The location.
    pub path: String,
    /// The form in which it is stored.
    pub variant: Variant,
    /// The quantization type of a GGUF; `None` for other types, and in documents that older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// The files of [`Variant::File`], beside the one at `path`; empty in documents that older versions wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ArtifactFile>,
    /// Summary of its report; `None` for adapters, and in documents that older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// The name in its folder.
    pub name: String,
    /// The size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

impl Artifact {
    /// An artifact without files of its own.
    #[must_use]
    pub fn new(kind: ArtifactKind, variant: Variant, path: impl Into<String>) -> Self {
        Self { kind, path: path.into(), variant, quantization: None, files: Vec::new(), proof: None }
    }

    /// The files with their locations.
    pub fn located_files(&self) -> impl Iterator<Item = (&ArtifactFile, String)> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.files.iter().map(move |file| (file, format!("{folder}/{}", file.name)))
    }
}

/// The artifacts of a training job, at most one for each variant and type: `artifacts.{variant}.{type}` of its
/// document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Artifacts(Vec<Artifact>);

impl Artifacts {
    /// The location of the artifact of that variant and type, if there is one.
    #[must_use]
    pub fn path(&self, variant: Variant, kind: ArtifactKind) -> Option<&str> {
        self.0.iter().find(|a| a.variant == variant && a.kind == kind).map(|a| a.path.as_str())
    }

    /// The locations of all artifacts.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|artifact| artifact.path.as_str())
    }

    /// Adds an artifact and replaces one of the same variant and type.
    pub fn set(&mut self, artifact: Artifact) {
        self.0.retain(|a| (a.variant, a.kind) != (artifact.variant, artifact.kind));
        self.0.push(artifact);
    }
}

impl FromIterator<Artifact> for Artifacts {
    fn from_iter<I: IntoIterator<Item = Artifact>>(artifacts: I) -> Self {
        let mut all = Self::default();
        artifacts.into_iter().for_each(|artifact| all.set(artifact));
        all
    }
}
