//! A folder of a bucket, for blocking code.

use std::{io, sync::Arc};

use bucket_snapshot::{BucketSnapshot, io_error};
use futures_util::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion};
use shared::adapters::storage::{StorageError, StorageLocation};
use tokio::runtime::Handle;

use crate::upload::Upload;

/// A folder of a bucket. Its methods block: they must not be called on a thread of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    folder: StorageLocation,
    url: String,
    runtime: Handle,
}

/// A small file, and the version that was read.
pub(crate) struct StoredFile {
    pub(crate) content: Vec<u8>,
    version: UpdateVersion,
}

impl Bucket {
    pub(crate) fn new(folder: StorageLocation, runtime: Handle) -> Self {
        let url = folder.url();
        Self { folder, url, runtime }
    }

    /// The URL.
    pub(crate) fn location(&self) -> &str {
        &self.url
    }

    /// The folder below this one.
    pub(crate) fn join(&self, relative: &str) -> Result<Self, StorageError> {
        Ok(Self::new(self.folder.join(relative)?, self.runtime.clone()))
    }

    /// The URL of one of its files.
    pub(crate) fn url_of(&self, name: &str) -> Result<String, StorageError> {
        Ok(self.folder.join(name)?.url())
    }

    /// The files in the folder and below it, as they are now. Empty if the folder does not exist.
    pub(crate) fn snapshot(&self) -> io::Result<BucketSnapshot> {
        let listing = self.folder.list().try_collect::<Vec<_>>();
        let objects = self.runtime.block_on(listing).map_err(io_error)?;
        let (store, location) =
            (Arc::clone(&self.folder.store), (self.folder.path.clone(), self.url.clone()));
        Ok(BucketSnapshot::new(store, location, objects, self.runtime.clone()))
    }

    /// A small file, `None` if it does not exist. A file over `limit` bytes is an error.
    pub(crate) fn read(&self, name: &str, limit: u64) -> io::Result<Option<StoredFile>> {
        let path = self.folder.join(name).map_err(io::Error::other)?.path;
        let read = self.runtime.block_on(async {
            let object = self.folder.store.get(&path).await?;
            let version =
                UpdateVersion { e_tag: object.meta.e_tag.clone(), version: object.meta.version.clone() };
            Ok(match object.meta.size <= limit {
                true => Some(StoredFile { content: object.bytes().await?.into(), version }),
                false => None,
            })
        });
        match read {
            Ok(Some(file)) => Ok(Some(file)),
            Ok(None) => Err(io::Error::other(format!("the file is over {limit} bytes"))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(io_error(error)),
        }
    }

    /// Writes a small file that does not exist yet; returns whether it did not.
    pub(crate) fn create(&self, name: &str, content: Vec<u8>) -> io::Result<bool> {
        self.put(name, content, PutMode::Create)
    }

    /// Writes a small file in place of `old`; returns whether that was still the stored version. Local folders have no
    /// versions: the last writer wins.
    pub(crate) fn replace(&self, name: &str, content: Vec<u8>, old: &StoredFile) -> io::Result<bool> {
        let mode = match old.version.version {
            Some(_) => PutMode::Update(old.version.clone()),
            None => PutMode::Overwrite,
        };
        self.put(name, content, mode)
    }

    fn put(&self, name: &str, content: Vec<u8>, mode: PutMode) -> io::Result<bool> {
        let path = self.folder.join(name).map_err(io::Error::other)?.path;
        let options = PutOptions::from(mode);
        let put = self.folder.store.put_opts(&path, PutPayload::from(content), options);
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(io_error(error)),
        }
    }

    /// Removes a file, if it exists.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.folder.join(name).map_err(io::Error::other)?.path;
        match self.runtime.block_on(self.folder.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(io_error(error)),
        }
    }

    /// Removes the folder and every file in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.snapshot()?.objects().keys().try_for_each(|name| self.delete(name))?;
        self.folder.remove_empty_folders()
    }

    /// An output that writes files into this folder.
    pub(crate) fn upload(&self) -> Upload {
        Upload::new(self.folder.clone(), self.runtime.clone())
    }
}
