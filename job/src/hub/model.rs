//! A model on the Hub as a folder that the engine reads by ranges, at one commit from the first byte to the last.

use std::{io, sync::Arc, time::Duration};

use engine::{Folder, FolderEntry, Source};
use futures_util::TryStreamExt;
use hf_hub::{HFError, HFRepository, RepoTypeModel, repository::RepoTreeEntry};
use shared::domain::HubRepo;
use tokio::runtime::Handle;

use super::{Hub, error::Doing};
use crate::{
    error::JobError,
    input_folder::{InputFile, InputFolder},
};

/// Waits before a range that did not arrive is asked for again.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

impl Hub {
    /// The model's files at the head of its main branch.
    pub(crate) fn model(&self, repo: &HubRepo) -> Result<InputFolder, JobError> {
        let repository = self.repository(repo);
        let doing = Doing::Reading(repo);
        let info = self.ask(&doing, repository.info().send())?;
        let revision = info.sha.ok_or_else(|| {
            JobError::Inputs(format!(
                "the Hugging Face Hub knows no commit of base model {repo}: is it empty?"
            ))
        })?;
        let tree = self.ask(&doing, async {
            repository
                .list_tree()
                .revision(revision.clone())
                .recursive(true)
                .send()?
                .try_collect::<Vec<_>>()
                .await
        })?;
        // a gated model shows its files to everybody and gives them to those who accepted its licence: ask now
        self.ask(&doing, repository.get_file_metadata().filepath("config.json").revision(&revision).send())?;
        let files = tree.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { oid, size, path, lfs, .. } => {
                let version = lfs.and_then(|lfs| lfs.sha256).unwrap_or(oid);
                Some(InputFile { name: path, size, version })
            }
            RepoTreeEntry::Directory { .. } => None,
        });
        let files: Vec<InputFile> = files.collect();
        let folder = Model {
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

struct Model {
    repository: HFRepository<RepoTypeModel>,
    revision: String,
    location: String,
    entries: Vec<FolderEntry>,
    deadline: Duration,
    runtime: Handle,
}

impl Folder for Model {
    fn location(&self) -> &str {
        &self.location
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        Ok(self.entries.iter().filter(|entry| !entry.name.contains('/')).cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(File {
            repository: self.repository.clone(),
            revision: self.revision.clone(),
            location: format!("{}/{name}", self.location),
            entry: entry.clone(),
            deadline: self.deadline,
            runtime: self.runtime.clone(),
        }))
    }
}

struct File {
    repository: HFRepository<RepoTypeModel>,
    revision: String,
    location: String,
    entry: FolderEntry,
    deadline: Duration,
    runtime: Handle,
}

impl File {
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
        for wait in AGAIN {
            match self.range(offset, length).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        file = self.location,
                        "a range did not arrive"
                    );
                }
            }
            tokio::time::sleep(wait).await;
        }
        self.range(offset, length).await
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

impl Source for File {
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
