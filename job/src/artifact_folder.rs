//! The files of one artifact and their manifest. The manifest is written last and removed first: the files it lists
//! are complete and from one export.

use engine::Folder as _;
use jiff::Timestamp;
use shared::domain::{ExportId, Proof};

use crate::{
    bucket::Bucket,
    error::JobError,
    manifest::{Manifest, ManifestFile},
};

/// Largest manifest in bytes; one file takes a few hundred.
const MAX_MANIFEST_SIZE: u64 = 4 << 20;

/// A folder of a bucket, and the manifest of one artifact in it.
pub(crate) struct ArtifactFolder {
    pub(crate) bucket: Bucket,
    manifest_name: String,
    fingerprint: String,
}

impl ArtifactFolder {
    /// `fingerprint` is that of the artifact to write.
    pub(crate) fn new(bucket: Bucket, manifest_name: impl Into<String>, fingerprint: String) -> Self {
        Self { bucket, manifest_name: manifest_name.into(), fingerprint }
    }

    /// The manifest, if it has the same fingerprint and all of its files exist.
    pub(crate) fn existing(&self) -> Result<Option<Manifest>, JobError> {
        let Some(manifest) = self.read_manifest()? else { return Ok(None) };
        let is_same = manifest.fingerprint == self.fingerprint;
        Ok(if is_same && self.first_missing(&manifest.files)?.is_none() { Some(manifest) } else { None })
    }

    /// Removes the manifest, then every file that it lists.
    pub(crate) fn clear(&self) -> Result<(), JobError> {
        let old = self.read_manifest()?;
        self.remove(&self.manifest_name)?;
        old.iter().flat_map(|manifest| &manifest.files).try_for_each(|file| self.remove(&file.name))
    }

    /// Checks that every file exists in its size, then writes the manifest.
    pub(crate) fn commit(
        &self,
        export: ExportId,
        files: impl IntoIterator<Item = ManifestFile>,
        proof: Option<Proof>,
    ) -> Result<Manifest, JobError> {
        let manifest = Manifest {
            fingerprint: self.fingerprint.clone(),
            export_id: export.to_string(),
            made_at: Timestamp::now(),
            files: files.into_iter().collect(),
            proof,
        };
        if let Some(missing) = self.first_missing(&manifest.files)? {
            let folder = self.bucket.location();
            return Err(JobError::Interrupted(format!(
                "{folder}/{missing} was removed during the export: start the export again"
            )));
        }
        let content = serde_json::to_vec_pretty(&manifest).map_err(std::io::Error::other);
        content
            .and_then(|content| self.bucket.put(&self.manifest_name, content))
            .map_err(JobError::bucket("write", &self.location_of(&self.manifest_name)))?;
        Ok(manifest)
    }

    /// Removes the files of a failed export, except those that a committed manifest lists.
    pub(crate) fn rollback<'a>(&self, files: impl IntoIterator<Item = &'a str>) {
        let committed =
            self.read_manifest().ok().flatten().map(|manifest| manifest.files).unwrap_or_default();
        for name in files.into_iter().filter(|name| committed.iter().all(|file| file.name != *name)) {
            if let Err(error) = self.remove(name) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    file = name,
                    "a file of a failed export was not removed"
                );
            }
        }
    }

    /// A manifest that is not valid JSON counts as none.
    fn read_manifest(&self) -> Result<Option<Manifest>, JobError> {
        let content = self.bucket.read(&self.manifest_name, MAX_MANIFEST_SIZE);
        let content = content.map_err(JobError::bucket("read", &self.location_of(&self.manifest_name)))?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    /// The first of `files` that does not exist in its size.
    fn first_missing<'a>(&self, files: &'a [ManifestFile]) -> Result<Option<&'a str>, JobError> {
        let found = self.bucket.tree().map_err(JobError::bucket("list", self.bucket.location()))?;
        let exists = |file: &ManifestFile| found.iter().any(|f| f.name == file.name && f.size == file.size);
        Ok(files.iter().find(|file| !exists(file)).map(|file| file.name.as_str()))
    }

    fn remove(&self, name: &str) -> Result<(), JobError> {
        self.bucket.delete(name).map_err(JobError::bucket("remove", &self.location_of(name)))
    }

    fn location_of(&self, name: &str) -> String {
        format!("{}/{name}", self.bucket.location())
    }
}
