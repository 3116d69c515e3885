//! A folder of a bucket, for blocking code: the engine reads files by ranges and writes them by multipart upload.

use std::{io, sync::Arc};

use engine::{Folder, FolderEntry, Output, Source};
use futures_util::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload, buffered::BufWriter};
use shared::adapters::storage::{StorageError, StorageLocation};
use tokio::{io::AsyncWriteExt, runtime::Handle};

use crate::input_folder::InputFile;

/// Bytes of one part of an upload. Cloud Storage rejects parts under 5 MiB, except the last.
const PART_SIZE: usize = 8 << 20;
/// Parts in flight at once: times [`PART_SIZE`], the memory of an upload.
const CONCURRENT_PARTS: usize = 4;

/// A folder of a bucket. Its methods block: they must not be called on a thread of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    folder: StorageLocation,
    url: String,
    runtime: Handle,
}

impl Bucket {
    pub(crate) fn new(folder: StorageLocation, runtime: Handle) -> Self {
        let url = folder.url();
        Self { folder, url, runtime }
    }

    /// The folder below this one.
    pub(crate) fn join(&self, relative: &str) -> Result<Self, StorageError> {
        Ok(Self::new(self.folder.join(relative)?, self.runtime.clone()))
    }

    /// The URL of one of its files.
    pub(crate) fn url_of(&self, name: &str) -> Result<String, StorageError> {
        Ok(self.folder.join(name)?.url())
    }

    /// The files directly in the folder, sorted by name. Empty if the folder does not exist.
    pub(crate) fn files(&self) -> io::Result<Vec<InputFile>> {
        let listing = self.folder.store.list_with_delimiter(Some(&self.folder.path));
        let objects = self.runtime.block_on(listing).map_err(io_error)?.objects;
        let mut files: Vec<InputFile> = objects.into_iter().filter_map(|meta| self.file(meta)).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// The files of a subfolder, by their paths. Empty if it does not exist.
    pub(crate) fn files_in(&self, subfolder: &str) -> io::Result<Vec<InputFile>> {
        let files = self.join(subfolder).map_err(io::Error::other)?.files()?.into_iter();
        Ok(files.map(|file| InputFile { name: format!("{subfolder}/{}", file.name), ..file }).collect())
    }

    /// The files in the folder and below it, by their paths, unsorted.
    pub(crate) fn tree(&self) -> io::Result<Vec<InputFile>> {
        let listing = self.folder.store.list(Some(&self.folder.path)).try_collect::<Vec<_>>();
        let objects = self.runtime.block_on(listing).map_err(io_error)?;
        Ok(objects.into_iter().filter_map(|meta| self.file(meta)).collect())
    }

    fn file(&self, meta: ObjectMeta) -> Option<InputFile> {
        let parts: Vec<_> = meta.location.prefix_match(&self.folder.path)?.collect();
        let name = parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
        let version = meta.e_tag.unwrap_or_else(|| meta.last_modified.to_string());
        Some(InputFile { name, size: meta.size, version })
    }

    /// The content of a small file, `None` if it does not exist. A file over `limit` bytes is an error.
    pub(crate) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = usize::try_from(file.size()).ok().filter(|_| file.size() <= limit);
        let size = size.ok_or_else(|| io::Error::other(format!("the file is over {limit} bytes")))?;
        let mut content = vec![0; size];
        file.read_at(0, &mut content)?;
        Ok(Some(content))
    }

    /// Writes a small file in one request.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) -> io::Result<()> {
        let path = self.folder.join(name).map_err(io::Error::other)?.path;
        self.runtime.block_on(self.folder.store.put(&path, PutPayload::from(content))).map_err(io_error)?;
        Ok(())
    }

    /// Removes a file, if it exists.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.folder.join(name).map_err(io::Error::other)?.path;
        match self.runtime.block_on(self.folder.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(io_error(error)),
        }
    }

    /// An output that writes files into this folder.
    pub(crate) fn upload(&self) -> Upload {
        Upload { bucket: self.clone(), file: None }
    }
}

impl Folder for Bucket {
    fn location(&self) -> &str {
        &self.url
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        Ok(self.files()?.into_iter().map(|file| FolderEntry { name: file.name, size: file.size }).collect())
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        Ok(self.files_in(subfolder)?.into_iter().map(|file| file.name).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let object = self.folder.join(name).map_err(io::Error::other)?;
        let meta = self.runtime.block_on(object.store.head(&object.path)).map_err(io_error)?;
        Ok(Arc::new(ObjectSource {
            url: object.url(),
            object,
            size: meta.size,
            runtime: self.runtime.clone(),
        }))
    }
}

/// One file of a bucket.
struct ObjectSource {
    object: StorageLocation,
    url: String,
    size: u64,
    runtime: Handle,
}

impl Source for ObjectSource {
    fn location(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        let read = self.object.store.get_range(&self.object.path, range);
        let bytes = self.runtime.block_on(read).map_err(io_error)?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}

/// Writes files into a [`Bucket`], one after the other. A file becomes visible when it is finished; dropping the
/// upload before that aborts it.
pub(crate) struct Upload {
    bucket: Bucket,
    file: Option<BufWriter>,
}

impl Output for Upload {
    fn begin(&mut self, name: &str, _size: u64) -> io::Result<()> {
        self.abort();
        let object = self.bucket.folder.join(name).map_err(io::Error::other)?;
        self.file = Some(
            BufWriter::with_capacity(object.store, object.path, PART_SIZE)
                .with_max_concurrency(CONCURRENT_PARTS),
        );
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(not_begun)?;
        self.bucket.runtime.block_on(file.write_all(bytes))
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut file = self.file.take().ok_or_else(not_begun)?;
        self.bucket.runtime.block_on(file.shutdown())
    }
}

impl Upload {
    fn abort(&mut self) {
        if let Some(mut file) = self.file.take()
            && let Err(error) = self.bucket.runtime.block_on(file.abort())
        {
            tracing::warn!(%error, "an upload was not aborted: the bucket's lifecycle rule will remove its parts");
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.abort();
    }
}

fn not_begun() -> io::Error {
    io::Error::other("no file of the upload was begun")
}

/// Keeps the kinds of error that callers distinguish.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn io_error(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            io::Error::new(io::ErrorKind::PermissionDenied, error)
        }
        other => io::Error::other(other),
    }
}
