//! The work of an export, from the claimed record to the artifacts. It blocks: files are read and written by the
//! engine's threads, not by the runtime's.
//!
//! Artifacts are written to the buckets first, where later exports reuse them, and pushed to the Hub from there.

mod adapter;
mod gguf;
mod lora;
mod merged;
mod proof;
mod survival_text;

use std::sync::Arc;

use engine::{Folder, Model, RunOptions};
use shared::domain::{Artifact, ArtifactKind, Destination, GgufKind, HubRepo, Proof, Quantization, Variant};
use tokio::runtime::Handle;

use crate::{
    artifact_folder::{ArtifactFolder, NewArtifact, PublishedArtifact},
    bucket::Bucket,
    context::{Context, Execution},
    error::JobError,
    hub::ModelFiles,
    input_folder::InputFile,
    joined_folder::JoinedFolder,
    maker::{Maker, ObtainedArtifact},
    manifest::ManifestFile,
    plan::RequestedExport,
    progress::ProgressTracker,
};

/// Most ranges that a model is read in, if they do not become too large.
const MAX_RANGES: u64 = 4_096;

/// The end of the message of an export whose files are on the Hub.
const PUSHED: &str = "; pushed to the Hugging Face Hub and verified";

/// One export and what it needs.
pub(crate) struct ExportWork<'a> {
    pub(crate) context: &'a Context,
    pub(crate) execution: &'a Execution,
    pub(crate) runtime: &'a Handle,
    pub(crate) requested: RequestedExport<'a>,
    pub(crate) progress: &'a Arc<ProgressTracker>,
}

/// The artifacts of an export, and what the record says about them.
pub(crate) struct ExportResult {
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) proof: Option<Proof>,
    pub(crate) message: String,
}

/// A published GGUF, with `name` as its main file.
struct PublishedGguf<'a> {
    /// `None` if it has types for a size.
    quantization: Option<Quantization>,
    published: &'a PublishedArtifact,
    name: &'a str,
}

impl ExportWork<'_> {
    /// Writes the export's artifacts; those that exist for the same inputs and options are reused.
    pub(crate) fn run(&self) -> Result<ExportResult, JobError> {
        self.requested.check_destination(&[])?;
        match self.requested.export.kind {
            ArtifactKind::Adapter => adapter::export(self),
            ArtifactKind::Merged => merged::export(self),
            ArtifactKind::Gguf => match self.requested.export.gguf_kind {
                GgufKind::Model => gguf::export(self),
                GgufKind::Lora => lora::export(self),
            },
        }
    }

    /// The published artifact, or a new one whose files `write` writes into a folder.
    fn obtain(
        &self,
        target: &ArtifactFolder,
        write: impl FnOnce(&Bucket) -> Result<NewArtifact, JobError>,
    ) -> Result<ObtainedArtifact, JobError> {
        let maker = Maker {
            exports: self.context.exports.as_ref(),
            runtime: self.runtime,
            progress: self.progress,
            export: self.requested.export.id,
            process: self.execution.claim.process,
            in_use: self.requested.training_job.artifacts.paths().collect(),
        };
        maker.obtain(target, write)
    }

    fn has_destination(&self, destination: Destination) -> bool {
        self.requested.has_destination(destination)
    }

    fn artifact(&self, variant: Variant, path: impl Into<String>) -> Artifact {
        Artifact::new(self.requested.export.kind, variant, path)
    }

    /// The published artifact for download, of which `name` is the main file.
    fn download(&self, published: &PublishedArtifact, name: &str) -> Result<Artifact, JobError> {
        let files = published.manifest.files.iter().cloned().map(Into::into).collect();
        Ok(Artifact { files, ..self.artifact(Variant::File, published.bucket.url_of(name)?) })
    }

    /// The artifacts of published GGUFs: each for download, and on the Hub, where all are pushed in one commit.
    fn deliver(
        &self,
        ggufs: &[PublishedGguf<'_>],
        base_model: Option<&HubRepo>,
        base_files: &[InputFile],
        description: &str,
    ) -> Result<Vec<Artifact>, JobError> {
        let files = ggufs.iter().flat_map(|gguf| gguf.published.manifest.files.iter().cloned());
        let files: Vec<ManifestFile> = files.collect();
        let folders = ggufs.iter().map(|gguf| Arc::clone(&gguf.published.files) as Arc<dyn Folder>);
        let folder = Arc::new(JoinedFolder::new(folders.collect()));
        let pushed = self.push(&ModelFiles { folder, files: &files, base_model, base_files, description })?;
        let mut artifacts = Vec::new();
        for PublishedGguf { quantization, published, name } in ggufs {
            let download = match self.has_destination(Destination::Gcs) {
                true => Some(self.download(published, name)?),
                false => None,
            };
            let typed = |artifact| Artifact {
                quantization: *quantization,
                proof: published.manifest.proof.clone(),
                ..artifact
            };
            artifacts.extend(download.into_iter().chain(pushed.clone()).map(typed));
        }
        Ok(artifacts)
    }

    /// Options for the engine that report to this export's progress. Larger models are read in larger ranges.
    fn run_options(&self, model: &Model) -> RunOptions<'_> {
        let chunk_size = chunk_size(model.bytes());
        RunOptions { progress: self.progress.as_ref(), chunk_size, ..RunOptions::default() }
    }

    /// Options for what reads the adapter only.
    fn adapter_run_options(&self) -> RunOptions<'_> {
        RunOptions { progress: self.progress.as_ref(), ..RunOptions::default() }
    }

    /// Pushes to the Hub if it is a destination.
    fn push(&self, model: &ModelFiles<'_>) -> Result<Option<Artifact>, JobError> {
        let Some(destination) = self.requested.push_destination(model.files)? else { return Ok(None) };
        self.requested.sources.hub()?.push(&destination, model)?;
        Ok(Some(self.artifact(Variant::Hf, destination.repo.as_str())))
    }

    /// Pushes to the Hub if it is a destination, and adds that to `result`.
    fn push_to(&self, model: &ModelFiles<'_>, result: &mut ExportResult) -> Result<(), JobError> {
        if let Some(pushed) = self.push(model)? {
            result.artifacts.push(pushed);
            result.message.push_str(PUSHED);
        }
        Ok(())
    }
}

/// The size of the ranges of weights of `bytes` bytes: at most [`MAX_RANGES`] of them, in the limits of memory.
fn chunk_size(bytes: u64) -> u64 {
    (bytes / MAX_RANGES).clamp(RunOptions::REMOTE_CHUNK, 4 * RunOptions::REMOTE_CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_with_the_model_within_limits() {
        assert_eq!(chunk_size(2 << 30), RunOptions::REMOTE_CHUNK);
        assert_eq!(chunk_size(32 << 30), 8 << 20);
        assert_eq!(chunk_size(500 << 30), 16 << 20);
    }
}
