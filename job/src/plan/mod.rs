//! From an export record to inputs and engine plans: what an export reads, what it will write, and why it would be refused.
//! Only headers and small files are read; nothing is written.

pub(crate) mod adapter;
pub(crate) mod calibration;
pub(crate) mod comparison;
pub(crate) mod earlier_merge;
pub(crate) mod gguf;
pub(crate) mod gguf_types;
pub(crate) mod imatrix;
pub(crate) mod lora;
pub(crate) mod merged;
mod named_file;
pub(crate) mod prompts;

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use shared::{
    adapters::storage::StorageError,
    domain::{Destination, Export, HubRepo, JobId, Quantization, TrainingJob},
};

use crate::{
    bucket::Bucket, context::Buckets, error::JobError, hub::PushDestination, manifest::ManifestFile,
    sources::InputSources,
};

/// An export that is requested, and where its inputs are found.
pub(crate) struct RequestedExport<'a> {
    pub(crate) sources: InputSources<'a>,
    pub(crate) buckets: &'a Buckets,
    pub(crate) export: &'a Export,
    pub(crate) training_job: &'a TrainingJob,
}

impl RequestedExport<'_> {
    pub(crate) fn has_destination(&self, destination: Destination) -> bool {
        self.export.destinations.contains(destination)
    }

    /// The types of a GGUF; a record without any is older than the field.
    pub(crate) fn quantizations(&self) -> Vec<Quantization> {
        match self.export.quantizations.as_slice() {
            [] => vec![Quantization::default_of(self.export.gguf_kind)],
            types => types.to_vec(),
        }
    }

    /// The repository that the export is pushed to, if the Hub is a destination.
    fn repository(&self) -> Result<Option<&HubRepo>, JobError> {
        if !self.has_destination(Destination::HfHub) {
            return Ok(None);
        }
        let missing = || {
            let problem =
                "the export's destination is the Hugging Face Hub, but hf_repo_id is missing: set it";
            JobError::InvalidInput(problem.to_owned()).of_field("hf_repo_id")
        };
        self.export.hf_repo.as_ref().map(Some).ok_or_else(missing)
    }

    /// Where these files are pushed, if the Hub is a destination.
    pub(crate) fn push_destination<'f>(
        &'f self,
        files: &'f [ManifestFile],
    ) -> Result<Option<PushDestination<'f>>, JobError> {
        let Export { kind, gguf_kind, hf_private: private, .. } = *self.export;
        let destination = |repo| PushDestination { repo, private, kind, gguf_kind, files };
        Ok(self.repository()?.map(destination))
    }

    /// Fails if the repository that the export is pushed to has what contradicts it, or the files of these names.
    pub(crate) fn check_destination(&self, names: &[&str]) -> Result<(), JobError> {
        let file = |name: &&str| ManifestFile { name: (*name).to_owned(), size: 0, sha256: String::new() };
        let files: Vec<_> = names.iter().map(file).collect();
        match self.push_destination(&files)? {
            Some(destination) => self.sources.hub()?.check_destination(&destination),
            None => Ok(()),
        }
    }

    /// `{job_id}/` in the bucket of files for download.
    pub(crate) fn download_folder(&self) -> Result<Bucket, StorageError> {
        self.sources.bucket(&self.buckets.files)?.join(&folder_name(&self.training_job.id))
    }
}

/// The most bytes of an id that are the name of a folder: file systems allow 255, and Cloud Storage 1024 for a whole path.
const MAX_FOLDER_NAME: usize = 200;

/// The name of a training job's folder: its id, or the hash of a longer one.
pub(super) fn folder_name(id: &JobId) -> Cow<'_, str> {
    if id.as_str().len() <= MAX_FOLDER_NAME {
        return Cow::Borrowed(id.as_str());
    }
    Cow::Owned(hex::encode(Sha256::digest(id.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_has_a_folder_of_its_hash() {
        let id = |length: usize| "é".repeat(length / 2).parse::<JobId>().unwrap();
        assert_eq!(folder_name(&id(200)), id(200).as_str());
        assert_eq!(folder_name(&id(1_498)).len(), 64);
        assert_ne!(folder_name(&id(1_498)), folder_name(&id(1_496)));
    }
}
