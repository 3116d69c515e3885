//! A folder of input files in a bucket or on the Hub, as it was when it was listed.

use std::sync::Arc;

use engine::{Checkpoint, Folder};

use crate::error::JobError;

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

/// A folder, and its files when it was listed.
#[derive(Clone)]
pub(crate) struct InputFolder {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: Vec<InputFile>,
}

impl InputFolder {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    pub(crate) fn location(&self) -> &str {
        self.folder.location()
    }

    /// Bytes of all files together.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Opens it as a checkpoint in the layout of transformers.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, JobError> {
        Ok(Checkpoint::open(Arc::clone(&self.folder))?)
    }
}
