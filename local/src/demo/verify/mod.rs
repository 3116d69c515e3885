//! Checks exported files with parsers of its own: it shares no code with the writers.

mod archive;
mod gguf;
mod safetensors;

use std::path::Path;

use shared::domain::ArtifactKind;

/// The contents of a complete file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileContents {
    /// A short description.
    pub(super) summary: String,
    /// The number of tensors.
    pub(super) tensors: usize,
}

/// Checks that the file is complete and of that kind.
pub(super) fn file(kind: ArtifactKind, path: &Path) -> anyhow::Result<FileContents> {
    match kind {
        ArtifactKind::Adapter => archive::check(path, &["adapter_config.json", "adapter_model.safetensors"]),
        ArtifactKind::Merged => archive::check(path, &["config.json", "tokenizer.json", "tokenizer.model"]),
        ArtifactKind::Gguf => gguf::check(path),
    }
}

/// Checks a safetensors file and returns the number of tensors.
pub(super) fn weights(path: &Path) -> anyhow::Result<usize> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    safetensors::check(file, size)
}
