//! The work itself, from the claimed record to the artifacts. It blocks: files are read and written by the engine's
//! threads, not by the runtime's.
//!
//! Everything is made in the buckets first, where it can be reused, and pushed to the Hub from there.

mod adapter;
mod gguf;
mod merged;
mod proof;

use std::sync::Arc;

use engine::Folder;
use shared::{
    adapters::storage::StorageError,
    domain::{Artifact, ArtifactKind, Destination, Export, HubRepo, Proof, TrainingJob, Variant},
};

use crate::{
    bucket::Bucket,
    context::Context,
    error::JobError,
    hub::{Card, Push},
    manifest::ManifestFile,
    reporter::Reporter,
    sources::InputSources,
};

/// What every part of the work looks at.
pub(crate) struct Work<'a> {
    pub(crate) context: &'a Context,
    pub(crate) sources: InputSources<'a>,
    pub(crate) export: &'a Export,
    pub(crate) training_job: &'a TrainingJob,
    pub(crate) reporter: &'a Arc<Reporter>,
}

/// What was made, and what to tell about it.
pub(crate) struct Made {
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) proof: Option<Proof>,
    pub(crate) message: String,
}

/// Files that go to the Hub as they are.
struct Pushable<'a> {
    folder: Arc<dyn Folder>,
    files: &'a [ManifestFile],
    base: Option<&'a HubRepo>,
    how: &'a str,
}

impl Work<'_> {
    /// Makes the export's artifacts, reusing what is there.
    pub(crate) fn run(&self) -> Result<Made, JobError> {
        match self.export.kind {
            ArtifactKind::Adapter => adapter::export(self),
            ArtifactKind::Merged => merged::export(self),
            ArtifactKind::Gguf => gguf::export(self),
        }
    }

    /// `{job_id}/` in the bucket of files that people download.
    fn files(&self) -> Result<Bucket, StorageError> {
        self.sources.bucket(&self.context.buckets.files)?.join(self.training_job.id.as_str())
    }

    fn goes_to(&self, destination: Destination) -> bool {
        self.export.destinations.contains(destination)
    }

    fn artifact(&self, variant: Variant, path: impl Into<String>) -> Artifact {
        Artifact { kind: self.export.kind, path: path.into(), variant }
    }

    /// Pushes to the Hub if the export goes there, and adds what that makes to `made`.
    fn push(&self, what: &Pushable<'_>, made: &mut Made) -> Result<(), JobError> {
        if !self.goes_to(Destination::HfHub) {
            return Ok(());
        }
        let Some(repo) = &self.export.hf_repo else {
            return Err(JobError::Inputs(
                "the export goes to the Hugging Face Hub but names no hf_repo_id".to_owned(),
            ));
        };
        let Pushable { ref folder, files, base, how } = *what;
        let card = Card { repo, kind: self.export.kind, base, how, files };
        let folder = Arc::clone(folder);
        let private = self.export.hf_private;
        self.sources.hub()?.push(&Push { repo, private, folder, files, card, reporter: self.reporter })?;
        made.artifacts.push(self.artifact(Variant::Hf, repo.as_str()));
        made.message.push_str("; pushed to the Hugging Face Hub and read back");
        Ok(())
    }
}
