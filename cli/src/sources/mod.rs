//! Where models and adapters are read from: folders, the cache of the Hugging Face Hub, the Hub itself, Cloud Storage, and web
//! servers.

mod cache;
mod environment;
mod hub;
mod name;
mod requests;
mod store;

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use engine::{AdapterConfig, Folder, FolderEntry, is_model_weights};
use secrecy::SecretString;
use tokio::runtime::Runtime;

use crate::failure::{Failure, FailureKind};
use crate::inputs::Inputs;
use crate::runtime;
use crate::terminal::Terminal;
pub(crate) use environment::HubEnvironment;
use hub::Hub;
pub(crate) use name::{HubName, SourceName};

/// The sources of one command.
pub(crate) struct Sources {
    pub(crate) inputs: Inputs,
    pub(crate) terminal: Terminal,
    /// Made when it is asked for the first time.
    hub: OnceCell<Hub>,
    /// Runs the requests.
    runtime: OnceCell<Runtime>,
}

/// A model or adapter that was found.
pub(crate) struct OpenSource {
    pub(crate) name: SourceName,
    pub(crate) folder: Arc<dyn Folder>,
    /// The commit of its repository.
    pub(crate) commit: Option<String>,
}

impl Sources {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { inputs: Inputs::default(), terminal, hub: OnceCell::new(), runtime: OnceCell::new() }
    }

    /// Opens what `option` names.
    pub(crate) fn open(&self, option: &str, name: SourceName, expected: &str) -> Result<OpenSource, Failure> {
        match &name {
            SourceName::Folder(path) => {
                check_is_folder(option, path, expected)?;
                let folder = self.inputs.open_folder(path)?;
                Ok(OpenSource { name, folder, commit: None })
            }
            SourceName::Hub(hub_name) => self.open_hub(hub_name),
            SourceName::Url(url) => self.open_url(url),
        }
    }

    /// Opens the base model that an adapter's configuration names. Of a bitsandbytes 4-bit copy that is its 16-bit sibling,
    /// whose weights the copy was quantized from; if there is none, the copy itself.
    pub(crate) fn open_base_of(&self, adapter: &AdapterConfig) -> Result<OpenSource, Failure> {
        let name = adapter.base_model.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| {
            Failure::usage("adapter_config.json names no base model (base_model_name_or_path): give --base")
        })?;
        let opened = match SourceName::of(Path::new(name)) {
            SourceName::Hub(hub) if adapter.revision.is_some() => {
                // a revision is one of the repository that is named, not of a sibling
                self.open_hub(&HubName { revision: adapter.revision.clone(), ..hub })
            }
            SourceName::Hub(hub) => self.open_sibling_or_copy(hub),
            SourceName::Folder(path) if path.is_dir() => self.open("--base", SourceName::Folder(path), ""),
            SourceName::Url(url) => self.open_url(&url),
            SourceName::Folder(_) => Err(Failure::input("there is no such folder")),
        };
        let opened = opened.map_err(|failure| {
            let kind = failure.kind;
            Failure::new(
                kind,
                format!(
                    "the base model {name:?}, which adapter_config.json names, cannot be opened: {failure}; --base names another"
                ),
            )
        })?;
        self.terminal.note(&format!("base model: {} (adapter_config.json)", opened.name));
        Ok(opened)
    }

    /// The base model that an adapter on the Hub names, and the names of its files; none if it cannot be read, such as a gated
    /// one. Of a bitsandbytes 4-bit copy that is its 16-bit sibling, if that exists.
    ///
    /// # Errors
    /// When there is no such model, and on an interruption.
    #[cfg(feature = "push")]
    pub(crate) fn published_base(&self, repo: &str) -> Result<(String, Vec<String>), Failure> {
        let files = |repo: &str| {
            let opened = self.open_hub(&HubName { repo: repo.to_owned(), revision: None });
            match opened.and_then(|opened| opened.files()) {
                Ok(files) => Ok((repo.to_owned(), files.into_iter().map(|file| file.name).collect())),
                Err(failure) if failure.kind == FailureKind::Remote => Ok((repo.to_owned(), Vec::new())),
                Err(failure) => Err(failure),
            }
        };
        let sibling = engine::sixteen_bit_name(repo);
        let found = match files(sibling) {
            Err(failure) if failure.kind == FailureKind::Input && sibling != repo => files(repo),
            found => found,
        };
        found.map_err(|failure| {
            let message = format!(
                "the base model that the adapter names cannot be found: {failure}; --base names another"
            );
            Failure::new(failure.kind, message)
        })
    }

    fn open_sibling_or_copy(&self, copy: HubName) -> Result<OpenSource, Failure> {
        let sibling = HubName { repo: engine::sixteen_bit_name(&copy.repo).to_owned(), revision: None };
        let missing = match self.open_hub(&sibling) {
            Ok(opened) if opened.has_model()? => return Ok(opened),
            Ok(opened) => Failure::input(format!("{} has no config.json and safetensors", opened.name)),
            Err(failure) if failure.kind == FailureKind::Input => failure,
            Err(failure) => return Err(failure),
        };
        if copy == sibling {
            return Err(missing);
        }
        match self.open_hub(&copy) {
            Err(failure) if failure.kind == FailureKind::Input => Err(missing),
            opened => {
                self.terminal.warn(&format!("{missing}: reading the 4-bit copy {}", copy.repo));
                opened
            }
        }
    }

    fn open_url(&self, url: &str) -> Result<OpenSource, Failure> {
        let folder = store::open(url, self.runtime()?, self.terminal)?;
        self.inputs.note_remote();
        Ok(OpenSource { name: SourceName::Url(url.to_owned()), folder, commit: None })
    }

    /// What its requests run on.
    pub(crate) fn runtime(&self) -> Result<&Runtime, Failure> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = runtime::start()?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    fn open_hub(&self, name: &HubName) -> Result<OpenSource, Failure> {
        let hub = match self.hub.get() {
            Some(hub) => hub,
            None => {
                let hub = Hub::new(self.terminal, self.runtime()?)?;
                self.hub.get_or_init(|| hub)
            }
        };
        let model = hub.open(name, &self.inputs)?;
        Ok(OpenSource {
            name: SourceName::Hub(name.clone()),
            folder: model.folder,
            commit: Some(model.commit),
        })
    }
}

/// The token of the Hub that its own clients would send.
pub(crate) fn hub_token() -> Option<SecretString> {
    HubEnvironment::read().token
}

impl OpenSource {
    /// Whether it has a file of this name.
    pub(crate) fn has(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.files()?.iter().any(|file| file.name == name))
    }

    /// Whether it has a configuration and weights of a model.
    pub(crate) fn has_model(&self) -> Result<bool, Failure> {
        Ok(self.has("config.json")? && self.files()?.iter().any(|file| is_model_weights(&file.name)))
    }

    fn files(&self) -> Result<Vec<FolderEntry>, Failure> {
        let cannot = |source| engine::Error::Read { file: self.folder.location().to_owned(), source };
        Ok(self.folder.list().map_err(cannot)?)
    }
}

/// Refuses a path that does not exist, and a file where a folder is expected.
fn check_is_folder(option: &str, path: &Path, expected: &str) -> Result<(), Failure> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Failure::input(format!(
            "{option} {} does not exist: give {expected}, or its name on the Hugging Face Hub (owner/name)",
            path.display()
        )));
    }
    if !path.is_file() {
        return Ok(());
    }
    let mut magic = [0; 4];
    let is_gguf =
        File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"GGUF";
    let kind = if is_gguf { "a GGUF file, which cannot be exported again" } else { "a file" };
    Err(Failure::input(format!("{option} {} is {kind}: give {expected}", path.display())))
}
