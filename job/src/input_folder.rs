//! A folder of input files in a bucket or on the Hub, as it was when it was listed.

use std::sync::Arc;

use bucket_snapshot::BucketSnapshot;
use engine::{Checkpoint, Folder, is_adapter_file, is_companion, is_model_weights};
use object_store::ObjectMeta;

use crate::{error::JobError, read_cache::ReadCache};

/// A file of an [`InputFolder`].
#[derive(Debug, Clone)]
pub(crate) struct InputFile {
    /// Path below the folder.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Changes when the content does: an entity tag or a hash.
    pub(crate) version: String,
}

/// PEFT's name of an adapter's configuration.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Most files or folders that a message names.
pub(crate) const MAX_NAMES: usize = 5;

/// A folder, and its files when it was listed.
#[derive(Clone)]
pub(crate) struct InputFolder {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: Vec<InputFile>,
}

impl InputFolder {
    /// The folder of a bucket.
    pub(crate) fn of_bucket(snapshot: BucketSnapshot) -> Self {
        let file = |(name, object): (&String, &ObjectMeta)| InputFile {
            name: name.clone(),
            size: object.size,
            version: object.e_tag.clone().unwrap_or_else(|| object.last_modified.to_string()),
        };
        let files = snapshot.objects().iter().map(file).collect();
        Self { folder: Arc::new(snapshot), files }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    /// The files that merged models and GGUF files can be made of: configurations, weights, tokenizers, templates and processors.
    pub(crate) fn model_files(&self) -> Vec<InputFile> {
        self.files.iter().filter(|file| is_read(&file.name)).cloned().collect()
    }

    /// Whether it has a full model: its configuration, and weights as safetensors.
    pub(crate) fn has_model(&self) -> bool {
        self.has_model_in("")
    }

    /// The same of the folder `prefix` below it, with a slash at the end.
    pub(crate) fn has_model_in(&self, prefix: &str) -> bool {
        self.has(&format!("{prefix}config.json")) && self.names_in(prefix).any(is_model_weights)
    }

    /// Whether it has an adapter in the folder `prefix` (empty, or with a slash at the end): its configuration and weights.
    pub(crate) fn has_adapter_in(&self, prefix: &str) -> bool {
        let is_weights = |name: &str| name != ADAPTER_CONFIG && is_adapter_file(name);
        self.has(&format!("{prefix}{ADAPTER_CONFIG}")) && self.names_in(prefix).any(is_weights)
    }

    fn names_in(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.names().filter_map(move |name| name.strip_prefix(prefix)).filter(|name| !name.contains('/'))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// What it has and what it lacks of a model, for messages.
    pub(crate) fn content(&self) -> String {
        let found = |is: fn(&str) -> bool| self.names().find(|name| is(name));
        let is_pickle = |name: &str| name.starts_with("pytorch_model") && name.ends_with(".bin");
        let content = if self.has(ADAPTER_CONFIG) {
            "an adapter".to_owned()
        } else if found(|name| name.ends_with(".gguf")).is_some() {
            "GGUF files".to_owned()
        } else if let Some(pickle) = found(is_pickle) {
            format!("weights as pickles ({pickle})")
        } else if self.files.is_empty() {
            "no files".to_owned()
        } else {
            self.names().take(MAX_NAMES).collect::<Vec<_>>().join(", ")
        };
        let missing = if self.has("config.json") { "weights as safetensors" } else { "config.json" };
        format!("{content}, but no {missing}")
    }

    pub(crate) fn location(&self) -> &str {
        self.folder.location()
    }

    /// Bytes of all files together.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Bytes of the weights of a model in it.
    pub(crate) fn weights(&self) -> u64 {
        self.files.iter().filter(|file| is_model_weights(&file.name)).map(|file| file.size).sum()
    }

    /// The same folder, its files cached if its weights fit.
    pub(crate) fn cached(self, cache: &Arc<ReadCache>) -> Self {
        let weights = self.weights();
        Self { folder: cache.folder(self.folder, weights), files: self.files }
    }

    /// Opens it as a checkpoint in the layout of transformers.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, JobError> {
        Ok(Checkpoint::open(Arc::clone(&self.folder))?)
    }
}

/// Whether the engine can read a file of this name. The modules of an embedding model are in folders.
fn is_read(name: &str) -> bool {
    let is_config = name.rsplit('/').next() == Some("config.json");
    is_config
        || name.ends_with(".safetensors")
        || is_companion(name)
        || is_adapter_file(name)
        || is_model_weights(name)
}
