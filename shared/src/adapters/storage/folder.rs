//! Buckets as folders below one root.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use object_store::{local::LocalFileSystem, path::Path};

use super::{StorageBackend, StorageError, StorageLocation, StoreRoot};

#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
}

impl Folders {
    pub(super) fn new(root: &FilePath) -> Result<Self, StorageError> {
        let unusable = |source| StorageError::Unusable { url: root.display().to_string(), source };
        let store = LocalFileSystem::new_with_prefix(root).map_err(unusable)?.with_fsync(true);
        let root = root.canonicalize().map_err(|source| {
            unusable(object_store::Error::Generic { store: "folder", source: Box::new(source) })
        })?;
        Ok(Self { root, store: Arc::new(store) })
    }
}

impl StorageBackend for Folders {
    fn location(&self, url: &str) -> Result<StorageLocation, StorageError> {
        let unsupported =
            || StorageError::Unsupported(url.to_owned(), "file:///…, below the folder of local buckets");
        let malformed = || StorageError::Malformed(url.to_owned());
        let file = url::Url::parse(url).ok().filter(|u| u.scheme() == "file").ok_or_else(unsupported)?;
        let file = file.to_file_path().map_err(|()| malformed())?;
        let relative = file.strip_prefix(&self.root).map_err(|_| unsupported())?;
        let path = Path::parse(relative.to_str().ok_or_else(malformed)?).map_err(|_| malformed())?;
        Ok(StorageLocation {
            store: Arc::clone(&self.store) as _,
            path,
            root: StoreRoot::Folder(self.root.clone()),
        })
    }
}
