//! Looks into what was exported, with eyes of its own: nothing here is shared with the code that wrote it.

mod archive;
mod gguf;
mod safetensors;

use std::path::Path;

use shared::domain::ArtifactKind;

/// What is in a file that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileContents {
    /// In a few words, for people.
    pub(super) summary: String,
    /// How many tensors.
    pub(super) tensors: usize,
}

/// Checks that the file is whole and of that kind.
pub(super) fn file(kind: ArtifactKind, path: &Path) -> anyhow::Result<FileContents> {
    match kind {
        ArtifactKind::Adapter => archive::check(path, &["adapter_config.json", "adapter_model.safetensors"]),
        ArtifactKind::Merged => archive::check(path, &["config.json", "tokenizer.json", "tokenizer.model"]),
        ArtifactKind::Gguf => gguf::check(path),
    }
}

/// Checks a file of weights; answers how many tensors it has.
pub(super) fn weights(path: &Path) -> anyhow::Result<usize> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    safetensors::check(file, size)
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
