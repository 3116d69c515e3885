//! The files that an export reads.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Folder, FolderEntry, LocalFolder, Source};
use file_id::FileId;

use crate::failure::Failure;
use crate::paths;

/// The files that were opened, by their identity on the disk, whatever link leads to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    files: Arc<Mutex<HashSet<FileId>>>,
    remote: Arc<AtomicBool>,
}

impl Inputs {
    /// A folder whose files are inputs when they are opened.
    pub(crate) fn open_folder(&self, path: &Path) -> engine::Result<Arc<dyn Folder>> {
        self.open_revision(path, None)
    }

    /// The same of a folder that has the files of a commit.
    pub(crate) fn open_snapshot(&self, path: &Path, commit: &str) -> engine::Result<Arc<dyn Folder>> {
        self.open_revision(path, Some(commit.to_owned()))
    }

    fn open_revision(&self, path: &Path, revision: Option<String>) -> engine::Result<Arc<dyn Folder>> {
        let folder = LocalFolder::open(path)?;
        Ok(Arc::new(InputFolder { folder, path: path.to_owned(), revision, inputs: self.clone() }))
    }

    pub(crate) fn open_file(&self, path: &Path) -> Result<Arc<dyn Source>, Failure> {
        let source = paths::open_file(path)?;
        self.add(path);
        Ok(source)
    }

    /// Opens a file of a folder.
    pub(crate) fn open_in(&self, folder: &Path, name: &str) -> io::Result<Arc<dyn Source>> {
        self.open_folder(folder).map_err(io::Error::other)?.open(name)
    }

    /// Notes that some input is read over the network.
    pub(crate) fn note_remote(&self) {
        self.remote.store(true, Ordering::Relaxed);
    }

    /// Whether some input is read over the network.
    pub(crate) fn has_remote(&self) -> bool {
        self.remote.load(Ordering::Relaxed)
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        id(path).is_some_and(|id| files.contains(&id))
    }

    fn add(&self, path: &Path) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).extend(id(path));
    }
}

fn id(path: &Path) -> Option<FileId> {
    file_id::get_file_id(path).ok()
}

struct InputFolder {
    folder: LocalFolder,
    path: PathBuf,
    revision: Option<String>,
    inputs: Inputs,
}

impl Folder for InputFolder {
    fn location(&self) -> &str {
        self.folder.location()
    }

    fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        self.folder.list()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.folder.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let source = self.folder.open(name)?;
        self.inputs.add(&self.path.join(name));
        Ok(source)
    }
}
