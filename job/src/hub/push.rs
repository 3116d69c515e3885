//! An export on its way to the Hub: one commit with every file, read back before it counts.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{Folder, Source};
use futures_util::{StreamExt, stream};
use hf_hub::{
    HFError, HFRepository, HFResult, RepoTypeModel,
    progress::{Progress, ProgressEvent, ProgressHandler, UploadEvent},
    repository::{AddSource, CommitOperation, RepoTreeEntry, SourceByteStream, StreamFactory, StreamSource},
};
use sha2::{Digest, Sha256};
use shared::domain::{HubRepo, Stage};

use super::{Hub, card::Card, error::Doing};
use crate::{error::JobError, manifest::ManifestFile, reporter::Reporter};

/// Bytes of one block of a file on its way.
const BLOCK: u64 = 4 << 20;

/// What to push where.
pub(crate) struct Push<'a> {
    pub(crate) repo: &'a HubRepo,
    pub(crate) private: bool,
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: &'a [ManifestFile],
    pub(crate) card: Card<'a>,
    pub(crate) reporter: &'a Arc<Reporter>,
}

impl Hub {
    /// Pushes files and card, and checks what the Hub then has.
    pub(crate) fn push(&self, push: &Push<'_>) -> Result<(), JobError> {
        let doing = Doing::Writing(push.repo);
        let repository = self.repository(push.repo);
        self.prepare(push, &doing, &repository)?;
        self.check_transfer(push)?;
        let total = push.files.iter().map(|file| file.size).sum();
        push.reporter.begin(
            Stage::Upload,
            format!("Pushing to {} on the Hugging Face Hub", push.repo),
            total,
        );
        let card = push.card.render();
        let watch = Arc::new(Watch::new(Arc::clone(push.reporter)));
        let mut operations = vec![CommitOperation::add_bytes("README.md", card.clone())];
        for file in push.files.iter().filter(|file| file.name != "README.md") {
            let place = format!("{}/{}", push.folder.location(), file.name);
            let source = push.folder.open(&file.name).map_err(JobError::bucket("read", &place))?;
            let factory = Reread { source, watch: Arc::clone(&watch) };
            let source = AddSource::stream(StreamSource::new(Arc::new(factory), file.size));
            operations.push(CommitOperation::Add { path_in_repo: file.name.clone(), source });
        }
        let commit = repository
            .create_commit()
            .operations(operations)
            .commit_message(format!("Export {}", push.card.kind.as_str()))
            .progress(Progress::new(Watching(Arc::clone(&watch))))
            .send();
        let commit = self.runtime.block_on(watch.until_stalled(self.settings.stall, commit));
        let commit = match commit {
            Waited::Done(result) => result.map_err(|error| doing.failed(error))?,
            Waited::Stalled => return Err(doing.too_slow()),
            Waited::Stopped => return Err(JobError::Stopped),
        };
        let revision = commit.commit_oid.unwrap_or_else(|| "main".to_owned());
        self.read_back(push, &doing, &repository, &revision, &card)
    }

    /// The repository, made if it is missing, refused if it is public and must not be.
    fn prepare(
        &self,
        push: &Push<'_>,
        doing: &Doing<'_>,
        repository: &HFRepository<RepoTypeModel>,
    ) -> Result<(), JobError> {
        if !self.ask(doing, repository.exists().send())? {
            let create = self
                .client
                .create_repository()
                .repo_id(push.repo.as_str())
                .repo_type(RepoTypeModel)
                .private(push.private)
                .exist_ok(true)
                .send();
            self.ask(doing, create)?;
        }
        // also after creating it: somebody else may have been faster
        let info = self.ask(doing, repository.info().send())?;
        if push.private && info.private != Some(true) {
            return Err(JobError::Inputs(format!(
                "{} is public, but a private repository was asked for: make it private on the Hugging Face Hub, \
                 choose another one, or set hf_private to false",
                push.repo
            )));
        }
        Ok(())
    }

    /// What the Hub has must be what was sent: sizes of all files, hashes of those it keeps by hash, and the bytes
    /// of the others.
    fn read_back(
        &self,
        push: &Push<'_>,
        doing: &Doing<'_>,
        repository: &HFRepository<RepoTypeModel>,
        revision: &str,
        card: &str,
    ) -> Result<(), JobError> {
        let card = ManifestFile {
            name: "README.md".to_owned(),
            size: card.len() as u64,
            sha256: hex::encode(Sha256::digest(card.as_bytes())),
        };
        let files: Vec<&ManifestFile> =
            push.files.iter().filter(|file| file.name != card.name).chain([&card]).collect();
        let names = files.iter().map(|file| file.name.clone()).collect();
        let there = self.ask(doing, repository.get_paths_info().paths(names).revision(revision).send())?;
        for file in files {
            let found = there.iter().find_map(|entry| match entry {
                RepoTreeEntry::File { path, size, lfs, .. } if *path == file.name => Some((*size, lfs)),
                RepoTreeEntry::File { .. } | RepoTreeEntry::Directory { .. } => None,
            });
            let same = match found {
                None => false,
                Some((size, _)) if size != file.size => false,
                Some((_, Some(lfs))) => lfs.sha256.as_deref() == Some(&file.sha256),
                Some((_, None)) => {
                    let name = file.name.clone();
                    let download =
                        repository.download_file_to_bytes().filename(name).revision(revision).send();
                    hex::encode(Sha256::digest(self.ask(doing, download)?)) == file.sha256
                }
            };
            if !same {
                return Err(JobError::Inputs(format!(
                    "{} on the Hugging Face Hub does not have {} as it was sent: export again, what was made is kept",
                    push.repo, file.name
                )));
            }
        }
        Ok(())
    }
}

/// A file that can be read from its beginning as often as the Hub's client needs it.
struct Reread {
    source: Arc<dyn Source>,
    watch: Arc<Watch>,
}

impl StreamFactory for Reread {
    fn open(&self) -> SourceByteStream {
        let (source, watch) = (Arc::clone(&self.source), Arc::clone(&self.watch));
        let starts = (0..source.size()).step_by(BLOCK as usize);
        stream::iter(starts)
            .then(move |start| {
                let (source, watch) = (Arc::clone(&source), Arc::clone(&watch));
                async move { read_block(source, &watch, start).await }
            })
            .boxed()
    }
}

async fn read_block(source: Arc<dyn Source>, watch: &Watch, start: u64) -> HFResult<bytes::Bytes> {
    let block = tokio::task::spawn_blocking(move || {
        let length = (source.size() - start).min(BLOCK);
        let mut block = vec![0; length as usize];
        source.read_at(start, &mut block).map(|()| block)
    });
    let block = block.await.map_err(std::io::Error::other).and_then(|read| read).map_err(HFError::from)?;
    watch.alive();
    Ok(block.into())
}

/// Notices when an upload stands still.
struct Watch {
    reporter: Arc<Reporter>,
    last: Mutex<Instant>,
    done: AtomicU64,
}

enum Waited<T> {
    Done(T),
    Stalled,
    Stopped,
}

impl Watch {
    fn new(reporter: Arc<Reporter>) -> Self {
        Self { reporter, last: Mutex::new(Instant::now()), done: AtomicU64::new(0) }
    }

    fn alive(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    async fn until_stalled<T>(&self, stall: Duration, upload: impl Future<Output = T>) -> Waited<T> {
        let mut upload = pin!(upload);
        let mut ticks = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                done = &mut upload => return Waited::Done(done),
                _ = ticks.tick() => {
                    if self.reporter.is_stopped() {
                        return Waited::Stopped;
                    }
                    if self.idle() > stall {
                        return Waited::Stalled;
                    }
                }
            }
        }
    }
}

struct Watching(Arc<Watch>);

impl ProgressHandler for Watching {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Upload(UploadEvent::Progress { bytes_completed, .. }) = event {
            let before = self.0.done.swap(*bytes_completed, Ordering::Relaxed);
            if *bytes_completed > before {
                self.0.alive();
                self.0.reporter.advance(bytes_completed - before);
            }
        }
    }
}
