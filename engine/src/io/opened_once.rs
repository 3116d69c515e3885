//! A folder whose files are opened once: every reader of a file reads the same one.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Folder, FolderEntry, Source};

/// What a file is read through.
type Wrap = dyn Fn(Arc<dyn Source>) -> Arc<dyn Source> + Send + Sync;

/// A folder whose opened files are kept, each read through what `wrap` makes of it.
pub struct OpenedOnce {
    folder: Arc<dyn Folder>,
    opened: Mutex<HashMap<String, Arc<dyn Source>>>,
    wrap: Box<Wrap>,
}

impl OpenedOnce {
    /// That folder, its files read through what `wrap` makes of them.
    #[must_use]
    pub fn new(
        folder: Arc<dyn Folder>,
        wrap: impl Fn(Arc<dyn Source>) -> Arc<dyn Source> + Send + Sync + 'static,
    ) -> Self {
        Self { folder, opened: Mutex::default(), wrap: Box::new(wrap) }
    }
}

impl Folder for OpenedOnce {
    fn location(&self) -> &str {
        self.folder.location()
    }

    fn revision(&self) -> Option<&str> {
        self.folder.revision()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        self.folder.list()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.folder.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = opened.get(name) {
            return Ok(Arc::clone(source));
        }
        let source = (self.wrap)(self.folder.open(name)?);
        opened.insert(name.to_owned(), Arc::clone(&source));
        Ok(source)
    }
}
