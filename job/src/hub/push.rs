//! Pushes an export to the Hub: one commit with every file, which is verified afterwards.

use std::sync::Arc;

use engine::Folder;
use hf_hub::{
    HFRepository, RepoTypeModel,
    progress::Progress,
    repository::{AddSource, BlobLfsInfo, CommitOperation, RepoTreeEntry, StreamSource},
};
use sha2::{Digest, Sha256};
use shared::domain::{HubRepo, Stage};

use super::{
    Hub,
    card::ModelCard,
    contents::RepositoryContents,
    error::HubOperation,
    file_stream::FileStreamFactory,
    stall::{StallDetector, UploadEnd, UploadProgress},
};
use crate::{error::JobError, manifest::ManifestFile, progress::ProgressTracker};

/// The name of the model card.
const CARD_FILE: &str = "README.md";

/// The files to push, and the repository they go to.
pub(crate) struct PushRequest<'a> {
    pub(crate) repo: &'a HubRepo,
    /// Whether the repository must be private.
    pub(crate) private: bool,
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: &'a [ManifestFile],
    pub(crate) card: ModelCard<'a>,
    pub(crate) progress: &'a Arc<ProgressTracker>,
}

/// One push, step by step.
struct PushOperation<'a> {
    hub: &'a Hub,
    request: &'a PushRequest<'a>,
    operation: HubOperation<'a>,
    repository: HFRepository<RepoTypeModel>,
    /// The repository before the push.
    before: RepositoryContents,
    /// The rendered model card; `None` if the repository's is not text.
    card: Option<String>,
}

impl Hub {
    /// Pushes the files and the model card, and verifies what the Hub then has.
    pub(crate) fn push(&self, request: &PushRequest<'_>) -> Result<(), JobError> {
        let mut push = PushOperation {
            hub: self,
            request,
            operation: HubOperation::Write(request.repo),
            repository: self.repository(request.repo),
            before: RepositoryContents::default(),
            card: None,
        };
        push.ensure_repository()?;
        push.before = self.contents(request.repo, &push.operation)?;
        push.before.check(request.repo, request.card.kind)?;
        push.card = push.render_card()?;
        self.check_transfer(request.repo, request.files)?;
        let revision = push.commit()?;
        push.verify(&revision)
    }
}

impl PushOperation<'_> {
    /// Creates the repository if it does not exist; rejects a public one where a private one is required.
    fn ensure_repository(&self) -> Result<(), JobError> {
        let PushRequest { repo, private, .. } = *self.request;
        if !self.hub.request(&self.operation, self.repository.exists().send())? {
            let create = self
                .hub
                .client
                .create_repository()
                .repo_id(repo.as_str())
                .repo_type(RepoTypeModel)
                .private(private)
                .exist_ok(true)
                .send();
            self.hub.request(&self.operation, create)?;
        }
        // also after creating it: another client may have created it in between
        let info = self.hub.request(&self.operation, self.repository.info().send())?;
        if private && info.private != Some(true) {
            return Err(JobError::InvalidInput(format!(
                "{repo} is public, but the export asks for a private repository: make it private on the Hugging Face \
                 Hub, choose another one, or set hf_private to false"
            )));
        }
        Ok(())
    }

    /// The model card, with what the repository's has of its owner.
    fn render_card(&self) -> Result<Option<String>, JobError> {
        let card = &self.request.card;
        let removed = self.removed();
        let stays = |name: &str| self.before.has(name) && !removed.contains(&name);
        if !self.before.has(CARD_FILE) {
            return Ok(Some(card.render(None, stays)));
        }
        let download = self.repository.download_file_to_bytes().filename(CARD_FILE.to_owned()).send();
        let existing = self.hub.request(&self.operation, download)?;
        Ok(std::str::from_utf8(&existing).ok().map(|existing| card.render(Some(existing), stays)))
    }

    /// The files that the commit removes, because a loader would use them instead of the pushed ones.
    fn removed(&self) -> Vec<&str> {
        self.before.contradicting(self.request.card.kind, self.request.files)
    }

    /// Uploads every file in one commit; the commit's hash.
    fn commit(&self) -> Result<String, JobError> {
        let request = self.request;
        let total = request.files.iter().map(|file| file.size).sum();
        let message = format!("Pushing to {} on the Hugging Face Hub", request.repo);
        request.progress.begin(Stage::Upload, message, total);
        let detector = Arc::new(StallDetector::new(Arc::clone(request.progress)));
        let commit = self
            .repository
            .create_commit()
            .operations(self.commit_operations(&detector)?)
            .commit_message(format!("Export {}", request.card.kind.as_str()))
            .maybe_parent_commit(self.before.head.clone())
            .progress(Progress::new(UploadProgress(Arc::clone(&detector))))
            .send();
        match self.hub.runtime.block_on(detector.watch(self.hub.settings.stall, commit)) {
            UploadEnd::Finished(Ok(commit)) => Ok(commit.commit_oid.unwrap_or_else(|| "main".to_owned())),
            UploadEnd::Finished(Err(error)) => Err(self.operation.failed(error)),
            UploadEnd::Stalled => Err(self.operation.timed_out()),
            UploadEnd::Stopped => Err(JobError::Stopped),
        }
    }

    /// Removes what contradicts the files; adds the card and every other file.
    fn commit_operations(&self, detector: &Arc<StallDetector>) -> Result<Vec<CommitOperation>, JobError> {
        let mut operations: Vec<_> = self.removed().into_iter().map(CommitOperation::delete).collect();
        operations.extend(self.card.clone().map(|card| CommitOperation::add_bytes(CARD_FILE, card)));
        let folder = &self.request.folder;
        for file in self.files() {
            let location = format!("{}/{}", folder.location(), file.name);
            let source = folder.open(&file.name).map_err(JobError::bucket("read", &location))?;
            let factory = FileStreamFactory { source, detector: Arc::clone(detector) };
            let source = AddSource::stream(StreamSource::new(Arc::new(factory), file.size));
            operations.push(CommitOperation::Add { path_in_repo: file.name.clone(), source });
        }
        Ok(operations)
    }

    /// The files besides the card.
    fn files(&self) -> impl Iterator<Item = &ManifestFile> {
        self.request.files.iter().filter(|file| file.name != CARD_FILE)
    }

    /// Compares the Hub's files with those that were sent: sizes of all, hashes of those it stores by hash, and the
    /// bytes of the others. Checks that no file is left that a loader would use instead.
    fn verify(&self, revision: &str) -> Result<(), JobError> {
        let request = self.request;
        let after = self.hub.contents(request.repo, &self.operation)?;
        if let Some(left) = after.contradicting(request.card.kind, request.files).first() {
            return Err(JobError::Interrupted(format!(
                "{left} of {} on the Hugging Face Hub contradicts the files that were sent: remove it and export again, \
                 files already written are reused",
                request.repo
            )));
        }
        let card = self.card.as_ref().map(|card| ManifestFile {
            name: CARD_FILE.to_owned(),
            size: card.len() as u64,
            sha256: hex::encode(Sha256::digest(card.as_bytes())),
        });
        let files: Vec<&ManifestFile> = self.files().chain(&card).collect();
        let names = files.iter().map(|file| file.name.clone()).collect();
        let paths_info = self.repository.get_paths_info().paths(names).revision(revision).send();
        let entries = self.hub.request(&self.operation, paths_info)?;
        for file in files {
            let entry = entries.iter().find_map(|entry| match entry {
                RepoTreeEntry::File { path, size, lfs, .. } if *path == file.name => {
                    Some((*size, lfs.as_ref()))
                }
                RepoTreeEntry::File { .. } | RepoTreeEntry::Directory { .. } => None,
            });
            if !entry.map_or(Ok(false), |(size, lfs)| self.is_same(file, size, lfs, revision))? {
                return Err(JobError::Interrupted(format!(
                    "{} of {} on the Hugging Face Hub differs from the file that was sent: export again, files already \
                     written are reused",
                    file.name, self.request.repo
                )));
            }
        }
        Ok(())
    }

    fn is_same(
        &self,
        file: &ManifestFile,
        size: u64,
        lfs: Option<&BlobLfsInfo>,
        revision: &str,
    ) -> Result<bool, JobError> {
        if size != file.size {
            return Ok(false);
        }
        if let Some(lfs) = lfs {
            return Ok(lfs.sha256.as_deref() == Some(&file.sha256));
        }
        let name = file.name.clone();
        let download = self.repository.download_file_to_bytes().filename(name).revision(revision).send();
        Ok(hex::encode(Sha256::digest(self.hub.request(&self.operation, download)?)) == file.sha256)
    }
}
