//! Pushes an export to the Hub: one commit with every file, which is verified afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use engine::{Source, WrittenFile};
use hf_hub::{
    HFRepository, RepoTypeModel,
    progress::Progress,
    repository::{AddSource, CommitOperation, StreamSource},
};
use hub_client::{HubError, RepositoryFile};
use sha2::{Digest, Sha256};

use crate::card::{self, CARD_FILE};
use crate::client::PushClient;
use crate::contents::RepositoryContents;
use crate::error::{HubOperation, PushError};
use crate::file_stream::FileStreamFactory;
use crate::request::PushRequest;
use crate::stall::{StallDetector, UploadEnd, UploadProgress};

/// What a push has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedCommit {
    /// The page of the repository.
    pub url: String,
    /// The commit; `main` if the Hub did not name it.
    pub revision: String,
}

/// One push, step by step.
struct PushOperation<'a> {
    hub: &'a PushClient,
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
struct MadeCommit {
    revision: String,
    /// Why the answer is not known, if the repository has changed nevertheless.
    failure: Option<HubError>,
}

impl MadeCommit {
    fn new(hash: Option<String>, failure: Option<HubError>) -> Self {
        Self { revision: hash.unwrap_or_else(|| "main".to_owned()), failure }
    }
}

/// How a push ended.
enum PushEnd {
    /// At this revision.
    Verified(String),
    /// Another commit came first.
    Overtaken(PushError),
}

impl PushClient {
    /// Pushes the files and the model card, and verifies what the Hub then has. If another commit comes first, the repository is
    /// read again.
    ///
    /// # Errors
    /// When the repository contradicts the files, the Hub refuses or fails, or has other files afterwards.
    pub fn push(&self, request: &PushRequest<'_>) -> Result<PushedCommit, PushError> {
        let url = self.url_of(request.target.repo);
        let may_be_published = AtomicBool::new(false);
        let failed = |error: PushError| match may_be_published.load(Ordering::Relaxed) {
            true => error.perhaps_at(url.clone()),
            false => error,
        };
        let mut delays = self.requests.settings().delays_of_rivals();
        loop {
            let error = match self.try_push(request, &may_be_published).map_err(failed)? {
                PushEnd::Verified(revision) => return Ok(PushedCommit { url, revision }),
                PushEnd::Overtaken(error) => error,
            };
            let Some(delay) = delays.next() else { return Err(failed(error)) };
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, ?delay, "another commit came first: pushing again");
            self.requests.wait(delay, "another commit came first, pushing again".to_owned());
        }
    }

    fn try_push(
        &self,
        request: &PushRequest<'_>,
        may_be_published: &AtomicBool,
    ) -> Result<PushEnd, PushError> {
        let repo = request.target.repo;
        let mut push = PushOperation {
            hub: self,
            request,
            operation: HubOperation::look(repo),
            repository: self.repository(repo),
            before: RepositoryContents::default(),
            card: None,
            may_be_published,
        };
        push.ensure_repository()?;
        // also after creating it: another client may have created it in between
        push.before = self.contents(repo, &push.operation)?;
        push.before.check(&request.target)?;
        let existing = self.read_card(repo, &mut push.before, &push.operation)?;
        push.before.check_mmproj(&request.target)?;
        push.card = push.render_card(existing.as_deref());
        push.operation = HubOperation::push(repo);
        self.check_transfer(&request.target)?;
        let commit = match push.commit() {
            Err(error) if error.is_conflict() => return Ok(PushEnd::Overtaken(error)),
            commit => commit?,
        };
        let push_operation =
            std::mem::replace(&mut push.operation, HubOperation::check(repo, self.url_of(repo)));
        match (push.verify(&commit.revision), commit.failure) {
            (Ok(()), _) => Ok(PushEnd::Verified(commit.revision)),
            (Err(error), None) => Err(error),
            (Err(PushError::Differs { .. } | PushError::LeftOver { .. }), Some(error)) => {
                Ok(PushEnd::Overtaken(push_operation.failed(error)))
            }
            // whose commit it is stays unknown
            (Err(_), Some(error)) => {
                may_be_published.store(true, Ordering::Relaxed);
                Err(push_operation.failed(error))
            }
        }
    }
}

impl PushOperation<'_> {
    /// Creates the repository if it does not exist.
    fn ensure_repository(&self) -> Result<(), PushError> {
        let target = self.request.target;
        if !self.hub.request(&self.operation, || self.repository.exists().send())? {
            let created = self.hub.request(&HubOperation::push(target.repo), || {
                let create = self.hub.client.create_repository().repo_id(target.repo);
                create.repo_type(RepoTypeModel).private(target.private).send()
            });
            match created {
                // it exists
                Err(error) if error.is_conflict() => {}
                created => drop(created?),
            }
        }
        Ok(())
    }

    /// The model card, with what the repository's has of its owner. A card that is not text stays.
    fn render_card(&self, existing: Option<&str>) -> Option<String> {
        let removed = self.removed();
        let stays = |name: &str| self.before.has(name) && !removed.contains(&name);
        let PushRequest { target, card, .. } = self.request;
        existing.map(|existing| card::render(target, card, existing, stays))
    }

    /// The files that the commit removes, because a loader would use them instead of the pushed ones.
    fn removed(&self) -> Vec<&str> {
        self.before.contradicting(&self.request.target)
    }

    /// Uploads every file in one commit.
    fn commit(&self) -> Result<MadeCommit, PushError> {
        let sources = self.sources()?;
        let commit = self.hub.requests.with_retries(|| self.try_commit(&sources));
        self.hub.requests.block_on(commit).map_err(|error| self.operation.failed(error))
    }

    /// The files besides the card, opened.
    fn sources(&self) -> Result<Vec<(&WrittenFile, Arc<dyn Source>)>, PushError> {
        let folder = &self.request.folder;
        let open = |file: &'_ WrittenFile| {
            folder.open(&file.name).map_err(|source| PushError::File {
                file: format!("{}/{}", folder.location(), file.name),
                source,
            })
        };
        self.files().map(|file| Ok((file, open(file)?))).collect()
    }

    async fn try_commit(&self, sources: &[(&WrittenFile, Arc<dyn Source>)]) -> Result<MadeCommit, HubError> {
        let target = self.request.target;
        let message = format!("Pushing to {} on the Hugging Face Hub", target.repo);
        self.hub.monitor.begin(message, target.files.iter().map(|file| file.size).sum());
        let detector = Arc::new(StallDetector::new(Arc::clone(&self.hub.monitor)));
        let commit = self
            .repository
            .create_commit()
            .operations(self.commit_operations(sources, &detector))
            .commit_message(format!("Export {}", target.kind.as_str()))
            .maybe_parent_commit(self.before.head.clone())
            .progress(Progress::new(UploadProgress(Arc::clone(&detector))))
            .send();
        let error = match detector.watch(self.hub.requests.settings().stall, commit).await {
            UploadEnd::Finished(commit) => match self.hub.checked(commit).await {
                Ok(commit) => return Ok(MadeCommit::new(commit.commit_oid, None)),
                Err(error) => error,
            },
            UploadEnd::Stalled => HubError::Stalled,
            UploadEnd::Stopped => HubError::Stopped,
        };
        // the commit may have been made although its answer was lost: the check decides whether it was this one
        match self.hub.requests.try_info(target.repo, None).await.ok() {
            Some(info) if info.sha != self.before.head && error.is_ambiguous() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the repository has changed: checking it"
                );
                Ok(MadeCommit::new(info.sha, Some(error)))
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
    fn commit_operations(
        &self,
        sources: &[(&WrittenFile, Arc<dyn Source>)],
        detector: &Arc<StallDetector>,
    ) -> Vec<CommitOperation> {
        let removed = self.removed().into_iter().map(CommitOperation::delete);
        let card = self.card.clone().map(|card| CommitOperation::add_bytes(CARD_FILE, card));
        let files = sources.iter().map(|(file, source)| {
            let factory = FileStreamFactory { source: Arc::clone(source), detector: Arc::clone(detector) };
            let source = AddSource::stream(StreamSource::new(Arc::new(factory), file.size));
            CommitOperation::Add { path_in_repo: file.name.clone(), source }
        });
        removed.chain(card).chain(files).collect()
    }

    /// The files besides the card.
    fn files(&self) -> impl Iterator<Item = &WrittenFile> {
        self.request.target.files.iter().filter(|file| file.name != CARD_FILE)
    }

    /// Compares the Hub's files with those that were sent: sizes of all, hashes of those it stores by hash, and the
    /// bytes of the others. Checks that no file is left that a loader would use instead.
    fn verify(&self, revision: &str) -> Result<(), PushError> {
        let target = &self.request.target;
        let repo = || target.repo.to_owned();
        let files = self.hub.requests.files(target.repo, revision);
        let files = files.map_err(|error| self.operation.failed(error))?;
        let exported = self.before.exported.clone();
        let after = RepositoryContents { files, exported, ..RepositoryContents::default() };
        if let Some(left) = after.contradicting(target).first() {
            return Err(PushError::LeftOver { repo: repo(), file: (*left).to_owned() });
        }
        let card = self.card.as_ref().map(|card| WrittenFile {
            name: CARD_FILE.to_owned(),
            size: card.len() as u64,
            sha256: hex::encode(Sha256::digest(card.as_bytes())),
        });
        let files: Vec<&WrittenFile> = self.files().chain(&card).collect();
        for file in files {
            if !after.file(&file.name).map_or(Ok(false), |stored| self.is_same(file, stored, revision))? {
                return Err(PushError::Differs { repo: repo(), file: file.name.clone() });
            }
        }
        Ok(())
    }

    fn is_same(
        &self,
        file: &WrittenFile,
        stored: &RepositoryFile,
        revision: &str,
    ) -> Result<bool, PushError> {
        if stored.size != file.size {
            return Ok(false);
        }
        if let Some(sha256) = &stored.sha256 {
            return Ok(*sha256 == file.sha256);
        }
        let repo = self.request.target.repo;
        let content = self.hub.read_small(repo, (&file.name, file.size), revision, &self.operation)?;
        Ok(hex::encode(Sha256::digest(content)) == file.sha256)
    }
}
