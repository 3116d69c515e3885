//! The files of a bucket's folder as they were when it was listed. A file that has changed since cannot be read, so that
//! no export mixes two versions.

use std::{collections::BTreeMap, error::Error, fmt, io, sync::Arc};

use engine::{Folder, FolderEntry, Source, is_directly_in};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore,
    path::{self, Path},
};
use tokio::runtime::Handle;

/// The files of a folder and below it, each pinned by its entity tag. Its methods block: they must not be called on a
/// thread of the runtime.
#[derive(Debug, Clone)]
pub struct BucketSnapshot {
    store: Arc<dyn ObjectStore>,
    url: String,
    objects: BTreeMap<String, ObjectMeta>,
    runtime: Handle,
}

impl BucketSnapshot {
    /// The `objects` of the folder `prefix` of a store, which has this URL.
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        (prefix, url): (Path, String),
        objects: Vec<ObjectMeta>,
        runtime: Handle,
    ) -> Self {
        let name = |object: &ObjectMeta| {
            let parts: Vec<_> = object.location.prefix_match(&prefix)?.collect();
            Some(parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/"))
        };
        let objects = objects.into_iter().filter_map(|object| Some((name(&object)?, object))).collect();
        Self { store, url, objects, runtime }
    }

    /// The objects by their paths below the folder.
    #[must_use]
    pub fn objects(&self) -> &BTreeMap<String, ObjectMeta> {
        &self.objects
    }

    /// The size of a file, if it exists.
    #[must_use]
    pub fn size_of(&self, name: &str) -> Option<u64> {
        self.objects.get(name).map(|object| object.size)
    }
}

impl Folder for BucketSnapshot {
    fn location(&self) -> &str {
        &self.url
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let files = self.objects.iter().filter(|(name, _)| !name.contains('/'));
        Ok(files.map(|(name, object)| FolderEntry { name: name.clone(), size: object.size }).collect())
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        Ok(self.objects.keys().filter(|name| is_directly_in(name, subfolder)).cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let object = self.objects.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(ObjectSource {
            url: format!("{}/{name}", self.url),
            store: Arc::clone(&self.store),
            object: object.clone(),
            runtime: self.runtime.clone(),
        }))
    }
}

/// One version of a file in a bucket.
struct ObjectSource {
    store: Arc<dyn ObjectStore>,
    url: String,
    object: ObjectMeta,
    runtime: Handle,
}

impl ObjectSource {
    fn options(&self, offset: u64, length: usize) -> GetOptions {
        let ObjectMeta { e_tag, version, last_modified, .. } = self.object.clone();
        GetOptions {
            range: Some(GetRange::Bounded(offset..offset + length as u64)),
            if_unmodified_since: e_tag.is_none().then_some(last_modified),
            if_match: e_tag,
            version,
            ..GetOptions::default()
        }
    }
}

impl Source for ObjectSource {
    fn location(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.object.size
    }

    fn version(&self) -> Option<String> {
        let ObjectMeta { e_tag, version, last_modified, .. } = &self.object;
        Some(e_tag.clone().or_else(|| version.clone()).unwrap_or_else(|| last_modified.to_rfc3339()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let options = self.options(offset, buffer.len());
        let read = async { self.store.get_opts(&self.object.location, options).await?.bytes().await };
        let bytes = self.runtime.block_on(read).map_err(pinned_error)?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}

/// A file that was listed, and is now missing or of another version, has changed.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn pinned_error(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. } => {
            io::Error::new(io::ErrorKind::StaleNetworkFileHandle, error)
        }
        other => io_error(other),
    }
}

/// An object that has no valid path, which ends the listing of its folder.
#[derive(Debug)]
pub struct InvalidName(path::Error);

impl InvalidName {
    /// The name of the object without its folders, as far as it is known.
    #[must_use]
    pub fn name(&self) -> String {
        let path = match &self.0 {
            path::Error::EmptySegment { path }
            | path::Error::BadSegment { path, .. }
            | path::Error::NonUnicode { path, .. }
            | path::Error::PrefixMismatch { path, .. } => path.clone(),
            path::Error::Canonicalize { path, .. } | path::Error::InvalidPath { path } => {
                path.to_string_lossy().into_owned()
            }
            _ => String::new(),
        };
        path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned()
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an object is not a valid path")
    }
}

impl Error for InvalidName {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Keeps the kinds of error that callers distinguish. That of [`InvalidName`] is [`io::ErrorKind::InvalidFilename`].
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
#[must_use]
pub fn io_error(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            io::Error::new(io::ErrorKind::PermissionDenied, error)
        }
        object_store::Error::InvalidPath { source } => {
            io::Error::new(io::ErrorKind::InvalidFilename, InvalidName(source))
        }
        other => io::Error::new(kind_of_cause(&other).unwrap_or(io::ErrorKind::Other), other),
    }
}

/// The kind of the first I/O error among the causes, such as a full disk.
fn kind_of_cause(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
