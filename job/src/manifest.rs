//! The manifest beside an artifact: which files it has, and what they were made of. It is written last and removed
//! first, so files that it names are whole and belong together.

use engine::{Folder as _, WrittenFile};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::domain::{ExportId, Proof};

use crate::{bucket::Bucket, error::JobError};

/// A manifest is a few hundred bytes a file.
const LARGEST: u64 = 4 << 20;

/// The document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What the files were made of.
    pub(crate) fingerprint: String,
    /// The export that made them.
    pub(crate) export_id: String,
    /// When.
    pub(crate) made_at: Timestamp,
    /// Every file, with size and hash.
    pub(crate) files: Vec<ManifestFile>,
    /// What was proved about them.
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

/// Files of one folder that a manifest vouches for.
pub(crate) struct Shelf {
    pub(crate) folder: Bucket,
    manifest: String,
    fingerprint: String,
}

impl Shelf {
    pub(crate) fn new(folder: Bucket, manifest: impl Into<String>, fingerprint: String) -> Self {
        Self { folder, manifest: manifest.into(), fingerprint }
    }

    /// What is there already for the same inputs and options, if every file still is.
    pub(crate) fn existing(&self) -> Result<Option<Manifest>, JobError> {
        let Some(manifest) = self.read()? else { return Ok(None) };
        let same = manifest.fingerprint == self.fingerprint;
        Ok(if same && self.missing(&manifest.files)?.is_none() { Some(manifest) } else { None })
    }

    /// Makes room: the manifest goes, then every file it named.
    pub(crate) fn clear(&self) -> Result<(), JobError> {
        let old = self.read()?;
        self.remove(&self.manifest)?;
        old.iter().flat_map(|manifest| &manifest.files).try_for_each(|file| self.remove(&file.name))
    }

    /// Removes files of an export that did not get to its end, except those that a manifest vouches for by now.
    pub(crate) fn discard<'a>(&self, files: impl IntoIterator<Item = &'a str>) {
        let vouched = self.read().ok().flatten().map(|manifest| manifest.files).unwrap_or_default();
        for name in files.into_iter().filter(|name| vouched.iter().all(|file| file.name != *name)) {
            if let Err(error) = self.remove(name) {
                tracing::warn!(error = &error as &dyn std::error::Error, "a leftover file stays");
            }
        }
    }

    /// Checks that every file is there in its size, then writes the manifest that vouches for them.
    pub(crate) fn seal(
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
        if let Some(missing) = self.missing(&manifest.files)? {
            let place = self.folder.location();
            return Err(JobError::Inputs(format!(
                "{missing} vanished from {place} while it was being written: start the export again"
            )));
        }
        let content = serde_json::to_vec_pretty(&manifest).map_err(std::io::Error::other);
        content
            .and_then(|content| self.folder.put(&self.manifest, content))
            .map_err(JobError::bucket("write", &format!("{}/{}", self.folder.location(), self.manifest)))?;
        Ok(manifest)
    }

    fn read(&self) -> Result<Option<Manifest>, JobError> {
        let content = self.folder.read(&self.manifest, LARGEST);
        let content = content.map_err(JobError::bucket("read", &self.place_of(&self.manifest)))?;
        // one that cannot be read vouches for nothing
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    /// The first of `files` that is not there in its size.
    fn missing<'a>(&self, files: &'a [ManifestFile]) -> Result<Option<&'a str>, JobError> {
        let there = self.folder.tree().map_err(JobError::bucket("list", self.folder.location()))?;
        let is_there = |file: &ManifestFile| there.iter().any(|e| e.name == file.name && e.size == file.size);
        Ok(files.iter().find(|file| !is_there(file)).map(|file| file.name.as_str()))
    }

    fn remove(&self, name: &str) -> Result<(), JobError> {
        self.folder.delete(name).map_err(JobError::bucket("remove", &self.place_of(name)))
    }

    fn place_of(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.location())
    }
}
