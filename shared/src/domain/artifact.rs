//! What an export leaves behind, and where.

use serde::{Deserialize, Serialize};

/// What is exported. On the wire and in documents: the field `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// The LoRA adapter as it was trained.
    Adapter,
    /// Base model and adapter as one model.
    Merged,
    /// One GGUF file for llama.cpp and Ollama.
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

/// In which form it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// A folder of model files in the bucket of raw models, for later exports to start from.
    Raw,
    /// One file in the bucket of files that people download.
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

/// One thing an export made: `path` is a URL (`gs://…`, `file://…`) or, for the Hub, `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ArtifactKind,
    /// Where it is.
    pub path: String,
    /// In which form.
    pub variant: Variant,
}

/// Everything that exports of one training job have made so far: `artifacts.{variant}.{type}` of its document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifacts(Vec<Artifact>);

impl Artifacts {
    /// Where the artifact of that form and kind is, if there is one.
    #[must_use]
    pub fn path(&self, variant: Variant, kind: ArtifactKind) -> Option<&str> {
        self.0.iter().find(|a| a.variant == variant && a.kind == kind).map(|a| a.path.as_str())
    }

    /// Adds one, in place of an earlier one of the same form and kind.
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
