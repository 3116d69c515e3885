//! Repositories on the Hugging Face Hub: files in the cache are read there, others by ranges from the Hub, and nothing is
//! stored.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Folder, FolderEntry, Source};
use hub_client::{Explain, HubCause, HubClient, HubError, HubFolder, HubSettings, RetryMonitor};
use tokio::runtime::Runtime;

use super::cache::CachedRepository;
use super::environment::HubEnvironment;
use super::name::HubName;
use crate::failure::{Failure, FailureKind};
use crate::inputs::Inputs;
use crate::signals;
use crate::terminal::Terminal;

/// How long the Hub may take to name a commit that the cache knows too, as in `huggingface_hub`.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// The Hub and its cache.
pub(crate) struct Hub {
    environment: HubEnvironment,
    client: Arc<HubClient>,
    terminal: Terminal,
}

/// A repository that was opened.
pub(crate) struct HubModel {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) commit: String,
}

impl Hub {
    pub(crate) fn new(terminal: Terminal, runtime: &Runtime) -> Result<Self, Failure> {
        let environment = HubEnvironment::read();
        environment.token.iter().for_each(redaction::register);
        let settings = HubSettings::at(&environment.endpoint);
        let monitor: Arc<dyn RetryMonitor> = Arc::new(terminal);
        let client = HubClient::new(&settings, environment.token.clone(), monitor, runtime.handle().clone());
        let client = client.map_err(|error| {
            let endpoint = &environment.endpoint;
            Failure::new(
                FailureKind::Remote,
                format!("the Hub at {endpoint} cannot be used: {error}; correct HF_ENDPOINT, or install CA certificates"),
            )
        })?;
        Ok(Self { environment, client, terminal })
    }

    /// Opens a repository at its revision.
    pub(crate) fn open(&self, name: &HubName, inputs: &Inputs) -> Result<HubModel, Failure> {
        let cached = self.environment.cache.as_deref().map(|cache| CachedRepository::new(cache, &name.repo));
        let revision = name.revision.as_deref().unwrap_or("main");
        let known = cached.as_ref().and_then(|cached| {
            let commit =
                if is_commit(revision) { revision.to_owned() } else { cached.commit_of(revision)? };
            Some((cached.snapshot(&commit)?, commit))
        });
        if self.environment.offline {
            let (snapshot, commit) = known.ok_or_else(|| self.not_cached(name))?;
            return Ok(HubModel { folder: inputs.open_snapshot(&snapshot, &commit)?, commit });
        }
        match self.open_online(name, known.as_ref(), cached.as_ref(), inputs) {
            Ok(model) => Ok(model),
            Err(error) => {
                let Some((snapshot, commit)) = known.filter(|_| error.is_transient()) else {
                    return Err(failure(name, &error));
                };
                self.terminal.warn(&format!(
                    "the Hub was not reached ({error}): reading {} as the cache has it, at commit {commit}",
                    name.repo
                ));
                Ok(HubModel { folder: inputs.open_snapshot(&snapshot, &commit)?, commit })
            }
        }
    }

    fn open_online(
        &self,
        name: &HubName,
        known: Option<&(PathBuf, String)>,
        cached: Option<&CachedRepository>,
        inputs: &Inputs,
    ) -> Result<HubModel, HubError> {
        let (repo, revision) = (&*name.repo, name.revision.as_deref());
        let info = match known {
            // the cache is there if this fails
            Some(_) => self.client.block_on(async {
                let request = self.client.try_info(repo, revision);
                tokio::time::timeout(COMMIT_DEADLINE, request).await.map_err(|_| HubError::Timeout)?
            })?,
            None => self.client.info(repo, revision)?,
        };
        let commit = info.sha.unwrap_or_default();
        let files = if commit.is_empty() { Vec::new() } else { self.client.files(repo, &commit)? };
        let explain: Explain = {
            let name = name.clone();
            Arc::new(move |error| Box::new(failure(&name, &error)))
        };
        let hub = HubFolder::new(&self.client, repo, &commit, &files, &explain);
        let snapshot = cached.and_then(|cached| cached.snapshot(&commit));
        let folder = CachedFolder { hub, snapshot, inputs: inputs.clone() };
        // anyone may list the files of a gated model, but not read them
        for config in ["config.json", "adapter_config.json"] {
            if let Some(file) = folder.hub.file(config).filter(|_| folder.cached(config).is_none()) {
                file.check_access()?;
                break;
            }
        }
        Ok(HubModel { folder: Arc::new(folder), commit })
    }

    fn not_cached(&self, name: &HubName) -> Failure {
        let cache = self.environment.cache.as_ref().map(|cache| cache.display().to_string());
        let revision = name.revision.as_deref().unwrap_or("main");
        Failure::input(format!(
            "{} at revision {revision} is not in the cache {}, and HF_HUB_OFFLINE is set: unset it, or run `hf download {}` first",
            name.repo,
            cache.unwrap_or_default(),
            name.repo
        ))
    }
}

/// The files of a commit, of which some are in the cache.
struct CachedFolder {
    hub: HubFolder,
    snapshot: Option<PathBuf>,
    inputs: Inputs,
}

impl CachedFolder {
    /// The file in the cache, if it has the size that the Hub names.
    fn cached(&self, name: &str) -> Option<&Path> {
        let snapshot = self.snapshot.as_deref()?;
        let size = self.hub.file(name)?.size();
        let is_complete = |about: std::fs::Metadata| about.is_file() && about.len() == size;
        std::fs::metadata(snapshot.join(name)).is_ok_and(is_complete).then_some(snapshot)
    }
}

impl Folder for CachedFolder {
    fn location(&self) -> &str {
        self.hub.location()
    }

    fn revision(&self) -> Option<&str> {
        self.hub.revision()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        self.hub.list()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.hub.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        match self.cached(name) {
            Some(snapshot) => self.inputs.open_in(snapshot, name),
            None => {
                self.inputs.note_remote();
                self.hub.open(name)
            }
        }
    }
}

impl RetryMonitor for Terminal {
    fn is_stopped(&self) -> bool {
        signals::is_interrupted()
    }

    fn begin_wait(&self, message: String) {
        self.note(&message);
    }

    fn end_wait(&self) {}
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What to do about an error of the Hub.
fn failure(name: &HubName, error: &HubError) -> Failure {
    let HubName { repo, revision } = name;
    let token = "a token with read access (HF_TOKEN, or `hf auth login`)";
    let mut message = match error.cause() {
        HubCause::InvalidToken => format!(
            "the Hugging Face Hub rejected the token while {repo} was read: give a valid one (HF_TOKEN, or `hf auth login`)"
        ),
        HubCause::Gated => {
            format!(
                "{repo} is gated: accept its license on its page on the Hugging Face Hub, and give {token}"
            )
        }
        HubCause::MissingRepository => format!(
            "{repo} is no folder here, and does not exist on the Hugging Face Hub or is private: check the name, or give {token}"
        ),
        HubCause::MissingRevision => {
            format!("{repo} has no revision {}: correct it", revision.as_deref().unwrap_or("main"))
        }
        HubCause::Denied => format!("the token may not read {repo}: give {token}"),
        HubCause::Disabled => {
            format!("the Hugging Face Hub has disabled access to {repo}: take another copy of the model")
        }
        HubCause::RateLimited => {
            format!("the Hugging Face Hub limits the rate of requests for {repo}: try again in a few minutes")
        }
        HubCause::Timeout => format!(
            "{repo} is no folder here, and the Hugging Face Hub did not respond in time for it: try again"
        ),
        HubCause::MissingFile
        | HubCause::StorageLimit
        | HubCause::Rejected
        | HubCause::Conflict
        | HubCause::Unavailable => {
            let advice = match error {
                HubError::UnknownHost(_) => "check HF_ENDPOINT and the network",
                HubError::Connection { .. } => "check HF_ENDPOINT and the network, or try again",
                HubError::Response(_)
                | HubError::DeadLink(_)
                | HubError::TooManyRedirects
                | HubError::Redirected(_)
                | HubError::Timeout
                | HubError::Length { .. }
                | HubError::Stalled
                | HubError::Request { .. }
                | HubError::Stopped => "try again",
            };
            format!(
                "{repo} is no folder here, and reading it from the Hugging Face Hub failed ({error}): {advice}"
            )
        }
    };
    message.push_str(&error.quote());
    let is_missing = matches!(error.cause(), HubCause::MissingRepository | HubCause::MissingRevision);
    let kind = if matches!(error, HubError::Stopped) {
        FailureKind::Interrupted
    } else if is_missing {
        FailureKind::Input
    } else {
        FailureKind::Remote
    };
    Failure::new(kind, message)
}
