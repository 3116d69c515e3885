//! Pushes an export to the Hub: one commit with every file, which is verified afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hf_hub::{
    HFRepository, RepoTypeModel,
    progress::Progress,
    repository::{AddSource, CommitOperation, StreamSource},
};
use hub_client::{HubCause, HubError, RepositoryFile};
use sha2::{Digest, Sha256};
use shared::domain::Stage;

use super::{
    Hub,
    contents::RepositoryContents,
    error::HubOperation,
    file_stream::FileStreamFactory,
    stall::{StallDetector, UploadEnd, UploadProgress},
};
use crate::hub::{PushRequest, card::CARD_FILE};
use crate::{error::JobError, manifest::ManifestFile};

/// One push, step by step.
struct PushOperation<'a> {
    hub: &'a Arc<Hub>,
    request: &'a PushRequest<'a>,
    operation: HubOperation,
    repository: HFRepository<RepoTypeModel>,
    /// The repository before the push.
    before: RepositoryContents,
    /// The rendered model card; `None` if the repository's is not text.
    card: Option<String>,
    /// Whether the answer to a commit was lost, and the repository could not be read.
    may_be_published: &'a AtomicBool,
}

/// A commit that has the files, or may have them.
struct PushedCommit {
    revision: String,
    /// Why the answer is not known, if the repository has changed nevertheless.
    failure: Option<HubError>,
}

impl PushedCommit {
    fn new(hash: Option<String>, failure: Option<HubError>) -> Self {
        Self { revision: hash.unwrap_or_else(|| "main".to_owned()), failure }
    }
}

/// How a push ended.
enum PushEnd {
    Verified,
    /// Another commit came first.
    Overtaken(JobError),
}

impl Hub {
    /// Pushes the files and the model card, and verifies what the Hub then has. If another commit comes first, the repository is
    /// read again.
    pub(crate) fn push(self: &Arc<Self>, request: &PushRequest<'_>) -> Result<(), JobError> {
        let may_be_published = AtomicBool::new(false);
        let failed = |error: JobError| match may_be_published.load(Ordering::Relaxed) {
            true => {
                let url = self.url_of(request.repo);
                error.with_detail(&format!(
                    "the answer to a commit was lost, so the files may be at {url} already"
                ))
            }
            false => error,
        };
        let mut delays = self.requests.settings().retry_delays.into_iter();
        loop {
            let end = self.try_push(request, &may_be_published).map_err(failed)?;
            let PushEnd::Overtaken(error) = end else { return Ok(()) };
            let Some(delay) = delays.next() else { return Err(failed(error)) };
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, ?delay, "another commit came first: pushing again");
            self.requests.wait(delay, "another commit came first, pushing again".to_owned());
        }
    }

    fn try_push(
        self: &Arc<Self>,
        request: &PushRequest<'_>,
        may_be_published: &AtomicBool,
    ) -> Result<PushEnd, JobError> {
        let mut push = PushOperation {
            hub: self,
            request,
            operation: HubOperation::Write(request.repo.clone()),
            repository: self.repository(request.repo),
            before: RepositoryContents::default(),
            card: None,
            may_be_published,
        };
        push.ensure_repository()?;
        // also after creating it: another client may have created it in between
        push.before = self.contents(request.repo, &push.operation)?;
        push.before.check_privacy(request.repo, request.private)?;
        push.before.check(request.repo, request.card.kind)?;
        let existing = self.read_card(request.repo, &mut push.before, &push.operation)?;
        push.before.check_mmproj(request.repo, request.files)?;
        push.card = push.render_card(existing.as_deref());
        self.check_transfer(request.repo, request.files)?;
        let commit = match push.commit() {
            Err(error @ JobError::Hub { cause: HubCause::Conflict, .. }) => {
                return Ok(PushEnd::Overtaken(error));
            }
            commit => commit?,
        };
        let push_operation =
            std::mem::replace(&mut push.operation, HubOperation::Check(self.url_of(request.repo)));
        match (push.verify(&commit.revision), commit.failure) {
            (Err(JobError::Interrupted(_)), Some(error)) => {
                Ok(PushEnd::Overtaken(push_operation.failed(error)))
            }
            (verified, _) => verified.map(|()| PushEnd::Verified),
        }
    }
}

impl PushOperation<'_> {
    /// Creates the repository if it does not exist.
    fn ensure_repository(&self) -> Result<(), JobError> {
        let PushRequest { repo, private, .. } = *self.request;
        if !self.hub.request(&self.operation, || self.repository.exists().send())? {
            let created = self.hub.request(&self.operation, || {
                let create = self.hub.client.create_repository().repo_id(repo.as_str());
                create.repo_type(RepoTypeModel).private(private).send()
            });
            match created {
                // it exists
                Err(JobError::Hub { cause: HubCause::Conflict, .. }) => {}
                created => drop(created?),
            }
        }
        Ok(())
    }

    /// The model card, with what the repository's has of its owner. A card that is not text stays.
    fn render_card(&self, existing: Option<&str>) -> Option<String> {
        let removed = self.removed();
        let stays = |name: &str| self.before.has(name) && !removed.contains(&name);
        existing.map(|existing| self.request.card.render(existing, stays))
    }

    /// The files that the commit removes, because a loader would use them instead of the pushed ones.
    fn removed(&self) -> Vec<&str> {
        self.before.contradicting(self.request.card.kind, self.request.files)
    }

    /// Uploads every file in one commit.
    fn commit(&self) -> Result<PushedCommit, JobError> {
        let commit = self.hub.requests.block_on(self.hub.requests.with_retries(|| self.try_commit()));
        commit.map_err(|error| self.operation.failed(error))
    }

    async fn try_commit(&self) -> Result<PushedCommit, HubError> {
        let request = self.request;
        let total = request.files.iter().map(|file| file.size).sum();
        let message = format!("Pushing to {} on the Hugging Face Hub", request.repo);
        request.progress.begin(Stage::Upload, message, total);
        let detector = Arc::new(StallDetector::new(Arc::clone(request.progress)));
        let commit = self
            .repository
            .create_commit()
            .operations(self.commit_operations(&detector).map_err(|error| HubError::Input(error.into()))?)
            .commit_message(format!("Export {}", request.card.kind.as_str()))
            .maybe_parent_commit(self.before.head.clone())
            .progress(Progress::new(UploadProgress(Arc::clone(&detector))))
            .send();
        let error = match detector.watch(self.hub.requests.settings().stall, commit).await {
            UploadEnd::Finished(commit) => match self.hub.checked(commit).await {
                Ok(commit) => return Ok(PushedCommit::new(commit.commit_oid, None)),
                Err(error) => error,
            },
            UploadEnd::Stalled => HubError::Stalled,
            UploadEnd::Stopped => HubError::Stopped,
        };
        // the commit may have been made although its answer was lost: the check decides whether it was this one
        match self.hub.requests.try_info(request.repo.as_str(), None).await.ok() {
            Some(info) if info.sha != self.before.head && error.is_ambiguous() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the repository has changed: checking it"
                );
                Ok(PushedCommit::new(info.sha, Some(error)))
            }
            Some(_) => Err(error),
            None => {
                if detector.is_committing() && error.is_ambiguous() {
                    self.may_be_published.store(true, Ordering::Relaxed);
                }
                Err(error)
            }
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
        let files = self.hub.requests.files(request.repo.as_str(), revision);
        let files = files.map_err(|error| self.operation.failed(error))?;
        let exported = self.before.exported.clone();
        let after = RepositoryContents { files, exported, ..RepositoryContents::default() };
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
        for file in files {
            if !after.file(&file.name).map_or(Ok(false), |stored| self.is_same(file, stored, revision))? {
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
        stored: &RepositoryFile,
        revision: &str,
    ) -> Result<bool, JobError> {
        if stored.size != file.size {
            return Ok(false);
        }
        if let Some(sha256) = &stored.sha256 {
            return Ok(*sha256 == file.sha256);
        }
        let content =
            self.hub.read_small(self.request.repo, (&file.name, file.size), revision, &self.operation)?;
        Ok(hex::encode(Sha256::digest(content)) == file.sha256)
    }
}
