//! The files that an export reads.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use engine::{Folder, FolderEntry, LocalFolder, Source};

use crate::failure::Failure;
use crate::paths;

/// The files that were opened, by their identity on the disk, whatever link leads to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputFileIds(Arc<Mutex<HashSet<FileId>>>);

/// Device and inode.
type FileId = (u64, u64);

impl InputFileIds {
    /// A folder whose files are inputs when they are opened.
    pub(crate) fn open_folder(&self, path: &Path) -> engine::Result<Arc<dyn Folder>> {
        let folder = LocalFolder::open(path)?;
        Ok(Arc::new(InputFolder { folder, path: path.to_owned(), ids: self.clone() }))
    }

    pub(crate) fn open_file(&self, path: &Path) -> Result<Arc<dyn Source>, Failure> {
        let source = paths::open_file(path)?;
        self.add(path);
        Ok(source)
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        id(path).is_some_and(|id| ids.contains(&id))
    }

    fn add(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(id(path));
    }
}

fn id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

struct InputFolder {
    folder: LocalFolder,
    path: PathBuf,
    ids: InputFileIds,
}

impl Folder for InputFolder {
    fn location(&self) -> &str {
        self.folder.location()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        self.folder.list()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.folder.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let source = self.folder.open(name)?;
        self.ids.add(&self.path.join(name));
        Ok(source)
    }
}
