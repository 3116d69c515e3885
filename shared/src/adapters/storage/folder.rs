//! Buckets as folders below one root.

use std::{
    error::Error as _,
    fs, io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    thread,
};

use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{Error, ObjectMeta, ObjectStore, local::LocalFileSystem, path::Path};

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
        let root = root
            .canonicalize()
            .map_err(|source| unusable(Error::Generic { store: "folder", source: Box::new(source) }))?;
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

/// Removes a folder and those in it, except for those with files.
pub(super) fn remove_empty(folder: &FilePath) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // a link to a folder is not followed
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The files below a folder. What cannot be in a bucket is left out: a name with a control character or not in UTF-8, and a
/// link that cannot be followed, such as one to a folder that it is in.
pub(super) fn list(
    store: &dyn ObjectStore,
    folder: &Path,
) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    // created on a thread of a runtime, the listing ends at the first error
    let listing = thread::scope(|scope| {
        let listing = thread::Builder::new().spawn_scoped(scope, || store.list(Some(folder)))?;
        listing.join().map_err(|_| io::Error::other("the listing panicked"))
    });
    match listing {
        Ok(listing) => listing.filter(|object| std::future::ready(!is_left_out(object))).boxed(),
        Err(error) => {
            let error = Error::Generic { store: "folder", source: error.into() };
            futures_util::stream::once(std::future::ready(Err(error))).boxed()
        }
    }
}

fn is_left_out(object: &object_store::Result<ObjectMeta>) -> bool {
    let Err(error) = object else { return false };
    let is_left_out = matches!(error, Error::InvalidPath { .. }) || cannot_be_followed(error);
    if is_left_out {
        tracing::info!(error = error as &dyn std::error::Error, "a file or link in a folder is left out");
    }
    is_left_out
}

/// Whether the error is that of a link, or of a name that is too long for the file system to have it.
fn cannot_be_followed(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<walkdir::Error>() {
            let is_too_long =
                error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::InvalidFilename);
            return is_too_long || error.path().is_some_and(FilePath::is_symlink);
        }
        cause = error.source();
    }
    false
}
