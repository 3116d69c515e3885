//! The small files of a model: configuration, tokenizer, chat template, generation settings.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use super::ModelConfig;
use super::config::edit_config;
use super::tokenizer_origins::{TokenizerOrigins, template_edit};
use crate::error::{Error, Result};
use crate::io::{Folder, Source, read_source, refuse_lfs_pointer};

/// The small files of a base model and of the adapter merged into it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ModelFiles {
    base: Arc<dyn Folder>,
    adapter: Option<Arc<dyn Folder>>,
    config: Arc<ModelConfig>,
    origins: Arc<OnceLock<TokenizerOrigins>>,
}

/// The folder that a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileOrigin {
    Base,
    Adapter,
}

/// A small file that was read.
#[derive(Debug, Clone)]
pub(crate) struct SmallFile {
    pub(crate) location: String,
    pub(crate) bytes: Vec<u8>,
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
        Self { base, adapter, config, origins: Arc::default() }
    }

    /// The same files with the base's vocabulary in place of the adapter's.
    pub(crate) fn with_base_vocabulary(&self) -> Result<Self> {
        let origins = Arc::new(OnceLock::from(self.origins()?.with_base_vocabulary()));
        Ok(Self { origins, ..self.clone() })
    }

    /// The base's `config.json`.
    pub(crate) fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The base's location, for error messages.
    pub(crate) fn location(&self) -> &str {
        self.base.location()
    }

    /// Opens a file of the folder that it comes from; of an edited file ([`edited`](Self::edited)), the original.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Arc<dyn Source>>> {
        let origin = self.origins()?.of_file(name);
        let source = self.folder(origin).map_or(Ok(None), |folder| open_optional(folder, name))?;
        source.as_deref().map_or(Ok(()), refuse_lfs_pointer)?;
        Ok(source)
    }

    /// The content of a file as the exported model has it.
    pub(crate) fn read(&self, name: &str) -> Result<Option<SmallFile>> {
        let Some(source) = self.open(name)? else { return Ok(None) };
        let (location, bytes) = (source.location().to_owned(), read_source(&*source)?);
        let edited = self.edit_template(name, &location, &bytes)?;
        Ok(Some(SmallFile { location, bytes: edited.unwrap_or(bytes) }))
    }

    /// The content of a file whose `chat_template` comes from the other folder, or is removed; `None` for any other
    /// file.
    pub(crate) fn edited(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if self.origins()?.other_template(name).is_none() {
            return Ok(None);
        }
        let Some(source) = self.open(name)? else { return Ok(None) };
        self.edit_template(name, source.location(), &read_source(&*source)?)
    }

    fn edit_template(&self, name: &str, location: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let other = self.origins()?.other_template(name).and_then(|origin| self.folder(origin));
        match other.map(|folder| template_edit(location, bytes, folder, name)).transpose()?.flatten() {
            Some(edit) => Ok(Some(edit_config(location, bytes, &[edit])?)),
            None => Ok(None),
        }
    }

    /// The names of chat templates besides the default one, sorted: `additional_chat_templates/NAME.jinja`.
    pub(crate) fn additional_templates(&self) -> Result<&[String]> {
        Ok(self.origins()?.additional_templates())
    }

    /// The files that the content of this name is made of, each with its folder.
    pub(crate) fn inputs(&self, name: &str) -> Result<Vec<(FileOrigin, Arc<dyn Source>)>> {
        let origins = self.origins()?;
        let mut inputs = Vec::new();
        for origin in [Some(origins.of_file(name)), origins.other_template(name)].into_iter().flatten() {
            let source = self.folder(origin).map_or(Ok(None), |folder| open_optional(folder, name))?;
            inputs.extend(source.map(|source| (origin, source)));
        }
        Ok(inputs)
    }

    fn folder(&self, origin: FileOrigin) -> Option<&dyn Folder> {
        match origin {
            FileOrigin::Base => Some(&*self.base),
            FileOrigin::Adapter => self.adapter.as_deref(),
        }
    }

    fn origins(&self) -> Result<&TokenizerOrigins> {
        if let Some(origins) = self.origins.get() {
            return Ok(origins);
        }
        let origins = TokenizerOrigins::of(&*self.base, self.adapter.as_deref())?;
        Ok(self.origins.get_or_init(|| origins))
    }
}

pub(super) fn open_optional(folder: &dyn Folder, name: &str) -> Result<Option<Arc<dyn Source>>> {
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
