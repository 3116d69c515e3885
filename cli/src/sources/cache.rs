//! The cache of `huggingface_hub`: `models--OWNER--NAME/refs/REVISION` has a commit, `snapshots/COMMIT` its files.
//!
//! <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>

use std::fs;
use std::path::{Path, PathBuf};

/// What the cache has of a repository.
pub(crate) struct CachedRepository(PathBuf);

impl CachedRepository {
    pub(crate) fn new(cache: &Path, repo: &str) -> Self {
        Self(cache.join(format!("models--{}", repo.replace('/', "--"))))
    }

    /// The commit that a branch or tag had when it was last downloaded.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        let commit = fs::read_to_string(self.0.join("refs").join(revision)).ok()?;
        // a download that was killed may leave an empty file
        Some(commit.trim().to_owned()).filter(|commit| !commit.is_empty())
    }

    /// The folder of a commit's files, which may lack some.
    pub(crate) fn snapshot(&self, commit: &str) -> Option<PathBuf> {
        let folder = self.0.join("snapshots").join(commit);
        folder.is_dir().then_some(folder)
    }
}
