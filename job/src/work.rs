//! The work itself, from the claimed record to the artifacts. It blocks: files are read and written by the engine's
//! threads, not by the runtime's.

mod adapter;
mod gguf;
mod merged;

use shared::{
    adapters::storage::StorageError,
    domain::{Artifact, ArtifactKind, Destination, Export, TrainingJob, Variant},
};
use tokio::runtime::Handle;

use crate::{Context, bucket::Bucket, error::JobError, reporter::Reporter};

/// What every part of the work looks at.
pub(crate) struct Work<'a> {
    pub(crate) context: &'a Context,
    pub(crate) runtime: &'a Handle,
    pub(crate) export: &'a Export,
    pub(crate) training_job: &'a TrainingJob,
    pub(crate) reporter: &'a Reporter,
}

/// What was made, and what to tell about it.
pub(crate) struct Made {
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) message: String,
}

impl Work<'_> {
    /// Makes the export's artifacts, reusing what is there.
    pub(crate) fn run(&self) -> Result<Made, JobError> {
        if self.export.destinations.contains(Destination::HfHub) {
            return Err(JobError::Inputs(
                "this build of the export job cannot write to the Hugging Face Hub: choose gcs".to_owned(),
            ));
        }
        match self.export.kind {
            ArtifactKind::Adapter => adapter::export(self),
            ArtifactKind::Merged => merged::export(self),
            ArtifactKind::Gguf => gguf::export(self),
        }
    }

    pub(crate) fn bucket(&self, url: &str) -> Result<Bucket, StorageError> {
        Ok(Bucket::new(self.context.storage.place(url)?, self.runtime.clone()))
    }

    /// `{job_id}/` in the bucket of files that people download.
    fn files(&self) -> Result<Bucket, StorageError> {
        self.bucket(&self.context.buckets.files)?.join(self.training_job.id.as_str())
    }

    fn artifact(&self, variant: Variant, path: String) -> Artifact {
        Artifact { kind: self.export.kind, path, variant }
    }
}
