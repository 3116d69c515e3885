//! The small files of a model: configuration, tokenizer, chat template, generation settings.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::ModelConfig;
use crate::error::{Error, Result};
use crate::io::{Folder, Source};

/// The small files of a base model and of the adapter merged into it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ModelFiles {
    base: Arc<dyn Folder>,
    adapter: Option<Arc<dyn Folder>>,
    config: Arc<ModelConfig>,
}

/// The folder that a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileOrigin {
    Base,
    Adapter,
}

/// The number of rows of the model's embedding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EmbeddingRows {
    /// In the exported model; `None` if it has no embedding.
    pub(crate) stored: Option<u64>,
    /// The same, if an adapter resizes the embedding.
    pub(crate) resized: Option<u64>,
}

impl ModelFiles {
    pub(super) fn new(
        base: Arc<dyn Folder>,
        adapter: Option<Arc<dyn Folder>>,
        config: Arc<ModelConfig>,
    ) -> Self {
        Self { base, adapter, config }
    }

    /// The base's `config.json`.
    pub(crate) fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The base's location, for error messages.
    pub(crate) fn location(&self) -> &str {
        self.base.location()
    }

    /// Opens a file: the adapter's if it replaces the base's, else the base's.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Arc<dyn Source>>> {
        Ok(self.find(name)?.map(|(_, source)| source))
    }

    /// Opens a file like [`open`](Self::open), and returns the folder it comes from.
    pub(crate) fn find(&self, name: &str) -> Result<Option<(FileOrigin, Arc<dyn Source>)>> {
        if let Some(adapter) = self.adapter.as_ref().filter(|_| is_replaceable(name))
            && let Some(source) = open_optional(&**adapter, name)?
        {
            return Ok(Some((FileOrigin::Adapter, source)));
        }
        Ok(open_optional(&*self.base, name)?.map(|source| (FileOrigin::Base, source)))
    }
}

/// Whether an adapter's file of this name replaces the base's: tokenizer and chat template do, weights and configuration
/// do not.
fn is_replaceable(name: &str) -> bool {
    name.starts_with("tokenizer")
        || name.starts_with("chat_template")
        || name == "added_tokens.json"
        || name == "special_tokens_map.json"
}

fn open_optional(folder: &dyn Folder, name: &str) -> Result<Option<Arc<dyn Source>>> {
    match folder.open(name) {
        Ok(source) => Ok(Some(source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(format!("{}/{name}", folder.location()), error)),
    }
}

impl fmt::Debug for ModelFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFiles").field("base", &self.location()).finish_non_exhaustive()
    }
}
