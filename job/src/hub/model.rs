//! A model on the Hub as a folder that the engine reads by ranges, all files at one commit.

use std::{io, sync::Arc, time::Duration};

use backon::Retryable;
use engine::{Folder, FolderEntry, Source};
use futures_util::TryStreamExt;
use hf_hub::{HFError, HFRepository, RepoTypeModel, repository::RepoTreeEntry};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

use super::{Hub, error::HubOperation};
use crate::{
    error::JobError,
    input_folder::{InputFile, InputFolder},
};

/// Delays before the retries of a range that could not be read.
const RETRY_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

impl Hub {
    /// The model's files at a commit, branch or tag; without one, at the head of its main branch.
    pub(crate) fn model(&self, repo: &HubRepo, revision: Option<&str>) -> Result<InputFolder, JobError> {
        let repository = self.repository(repo);
        let operation = HubOperation::Read(repo);
        let info = self.request(&operation, repository.info().maybe_revision(revision).send())?;
        let revision = info.sha.ok_or_else(|| {
            JobError::NotFound(format!(
                "base model {repo} has no commit on the Hugging Face Hub: check base_model_id"
            ))
        })?;
        let tree = self.request(&operation, async {
            repository
                .list_tree()
                .revision(revision.clone())
                .recursive(true)
                .send()?
                .try_collect::<Vec<_>>()
                .await
        })?;
        // anyone may list the files of a gated model, but not read them: fail now rather than at the first range
        self.request(
            &operation,
            repository.get_file_metadata().filepath("config.json").revision(&revision).send(),
        )?;
        let files = tree.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { oid, size, path, lfs, .. } => {
                let version = lfs.and_then(|lfs| lfs.sha256).unwrap_or(oid);
                Some(InputFile { name: path, size, version })
            }
            RepoTreeEntry::Directory { .. } => None,
        });
        let files: Vec<InputFile> = files.collect();
        let folder = HubModel {
            location: format!("{}/{repo}", self.client.endpoint()),
            repository,
            revision,
            entries: files.iter().map(|f| FolderEntry { name: f.name.clone(), size: f.size }).collect(),
            deadline: self.settings.deadline,
            runtime: self.runtime.clone(),
        };
        Ok(InputFolder { folder: Arc::new(folder), files })
    }
}

struct HubModel {
    repository: HFRepository<RepoTypeModel>,
    revision: String,
    location: String,
    entries: Vec<FolderEntry>,
    deadline: Duration,
    runtime: Handle,
}

impl Folder for HubModel {
    fn location(&self) -> &str {
        &self.location
    }

    fn revision(&self) -> Option<&str> {
        Some(&self.revision)
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        Ok(self.entries.iter().filter(|entry| !entry.name.contains('/')).cloned().collect())
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        let is_in = |name: &str| {
            name.strip_prefix(subfolder)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| !rest.contains('/'))
        };
        Ok(self.entries.iter().map(|entry| entry.name.clone()).filter(|name| is_in(name)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(HubFile {
            repository: self.repository.clone(),
            revision: self.revision.clone(),
            location: format!("{}/{name}", self.location),
            entry: entry.clone(),
            deadline: self.deadline,
            runtime: self.runtime.clone(),
        }))
    }
}

struct HubFile {
    repository: HFRepository<RepoTypeModel>,
    revision: String,
    location: String,
    entry: FolderEntry,
    deadline: Duration,
    runtime: Handle,
}

impl HubFile {
    async fn range(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let download = self
            .repository
            .download_file_to_bytes()
            .filename(self.entry.name.clone())
            .revision(self.revision.clone())
            .range(offset..offset + length as u64)
            .send();
        let bytes = tokio::time::timeout(self.deadline, download).await?.map_err(io_error)?;
        if bytes.len() == length { Ok(bytes.into()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn range_with_retries(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        (|| self.range(offset, length))
            .retry(RETRY_DELAYS.into_iter())
            .when(|error| error.kind() != io::ErrorKind::PermissionDenied)
            .notify(|error, _| {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    file = self.location,
                    "a range was not read: retrying"
                );
            })
            .await
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn io_error(error: HFError) -> io::Error {
    match error {
        HFError::AuthRequired { .. } | HFError::Forbidden { .. } => {
            io::Error::new(io::ErrorKind::PermissionDenied, error)
        }
        other => io::Error::other(other),
    }
}

impl Source for HubFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn size(&self) -> u64 {
        self.entry.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        buffer.copy_from_slice(&self.runtime.block_on(self.range_with_retries(offset, buffer.len()))?);
        Ok(())
    }
}
