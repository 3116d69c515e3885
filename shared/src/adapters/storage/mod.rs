//! Buckets: Google Cloud Storage (`gs://bucket/path`) in production, folders below one root (`file:///…`) locally.
//!
//! Both use `object_store`, so all other code is the same. A URL with the other scheme, or of a file outside the root, is
//! rejected: the URLs come from documents, which must not give access to the file system of the machine.

mod folder;
#[cfg(feature = "google")]
mod google;
#[cfg(feature = "testing")]
mod replaced;

#[cfg(feature = "testing")]
use std::collections::BTreeMap;
use std::{
    fmt::Debug,
    io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use futures_util::stream::BoxStream;
use object_store::{
    ObjectMeta, ObjectStore,
    path::{Path, PathPart},
};

/// Why a location cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The URL has a scheme or a root that this storage does not support.
    #[error("{0} is not a supported bucket URL (expected {1})")]
    Unsupported(String, &'static str),
    /// The URL has no bucket or an invalid path.
    #[error("{0} is not a valid bucket URL")]
    Malformed(String),
    /// The client for the bucket could not be created.
    #[error("the bucket of {url} cannot be accessed")]
    Unusable {
        /// The requested URL.
        url: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
}

/// The location of a folder or an object: a store and a path in it.
#[derive(Debug, Clone)]
pub struct StorageLocation {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The path within the store.
    pub path: Path,
    root: StoreRoot,
}

/// The root of the paths in a store.
#[derive(Debug, Clone)]
enum StoreRoot {
    #[cfg(feature = "google")]
    Bucket(String),
    Folder(PathBuf),
}

impl StorageLocation {
    /// The URL, as stored in documents, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.root {
            #[cfg(feature = "google")]
            StoreRoot::Bucket(bucket) => {
                format!("gs://{bucket}/{}", self.path).trim_end_matches('/').to_owned()
            }
            StoreRoot::Folder(root) => url::Url::from_file_path(root.join(self.path.as_ref()))
                .map_or_else(|()| format!("file://{}/{}", root.display(), self.path), String::from),
        }
    }

    /// The objects below this location. Of a local folder, what cannot be in a bucket is left out, and the stream blocks.
    pub fn list(&self) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match &self.root {
            #[cfg(feature = "google")]
            StoreRoot::Bucket(_) => self.store.list(Some(&self.path)),
            StoreRoot::Folder(_) => folder::list(&*self.store, &self.path),
        }
    }

    /// Removes this folder, and those in it, where they have no files. A bucket has no empty folders: there they are parts of
    /// names.
    ///
    /// # Errors
    /// If the file system refuses it.
    pub fn remove_empty_folders(&self) -> io::Result<()> {
        match &self.root {
            #[cfg(feature = "google")]
            StoreRoot::Bucket(_) => Ok(()),
            StoreRoot::Folder(root) => folder::remove_empty(&root.join(self.path.as_ref())),
        }
    }

    /// The location at `relative` below this one. The segments of `relative` are not decoded.
    ///
    /// # Errors
    /// [`StorageError::Malformed`] for empty segments, `.`, `..` and control characters.
    pub fn join(&self, relative: &str) -> Result<Self, StorageError> {
        let malformed = || StorageError::Malformed(format!("{}/{relative}", self.url()));
        let path = relative.split('/').try_fold(self.path.clone(), |path, segment| {
            PathPart::parse(segment).ok().filter(|_| !segment.is_empty()).map(|part| path.join(part))
        });
        Ok(Self {
            store: Arc::clone(&self.store),
            path: path.ok_or_else(malformed)?,
            root: self.root.clone(),
        })
    }
}

/// The bucket and the path of a `gs://` URL.
#[cfg(feature = "google")]
fn parse_gs(url: &str) -> Result<(&str, Path), StorageError> {
    let rest = url
        .strip_prefix("gs://")
        .ok_or_else(|| StorageError::Unsupported(url.to_owned(), "gs://bucket/path"))?;
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = Path::parse(path).ok().filter(|_| !bucket.is_empty());
    path.map(|path| (bucket, path)).ok_or_else(|| StorageError::Malformed(url.to_owned()))
}

/// An implementation of buckets.
trait StorageBackend: Debug + Send + Sync {
    /// The location at a URL without a trailing slash.
    fn location(&self, url: &str) -> Result<StorageLocation, StorageError>;
}

/// Resolves URLs to locations.
#[derive(Debug)]
pub struct Storage(Box<dyn StorageBackend>);

impl Storage {
    /// Google Cloud Storage with the credentials of the environment. `emulator` is `STORAGE_EMULATOR_HOST`, which is
    /// accessed without credentials.
    #[cfg(feature = "google")]
    #[must_use]
    pub fn google(emulator: Option<&str>) -> Self {
        Self(Box::new(google::Buckets::new(emulator)))
    }

    /// Folders below `root`, which must exist.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] if `root` is not a folder.
    pub fn folder(root: &FilePath) -> Result<Self, StorageError> {
        Ok(Self(Box::new(folder::Folders::new(root)?)))
    }

    /// Buckets of Google Cloud Storage, each replaced by a store.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn replaced(buckets: BTreeMap<String, Arc<dyn ObjectStore>>) -> Self {
        Self(Box::new(replaced::Replaced(buckets)))
    }

    /// The location at that URL: `gs://bucket/a/b` or, with local folders, `file:///root/bucket/a/b`.
    ///
    /// # Errors
    /// If the URL is not supported by this storage, or the client for the bucket cannot be created.
    pub fn location(&self, url: &str) -> Result<StorageLocation, StorageError> {
        self.0.location(url.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_round_trips_through_its_url() {
        let location = Storage::google(None).location("gs://models/merged_models/job 1/").unwrap();
        assert_eq!(location.url(), "gs://models/merged_models/job 1");
        let file = location.join("ü#~%/b.json").unwrap();
        assert_eq!(file.url(), "gs://models/merged_models/job 1/ü#~%/b.json");
        assert_eq!(Storage::google(None).location(&file.url()).unwrap().path, file.path);
        for bad in ["", "..", "a//b", "a/../b", "/a", "a/", "a\nb"] {
            assert!(location.join(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_local_location_round_trips_through_its_file_url() {
        let root = tempfile::tempdir().unwrap();
        let folder = Storage::folder(root.path()).unwrap();
        let top = url::Url::from_file_path(root.path().canonicalize().unwrap()).unwrap();
        let file = folder.location(top.as_str()).unwrap().join("files/a b#%20ü.gguf").unwrap();
        assert_eq!(folder.location(&file.url()).unwrap().path, file.path);
        assert!(file.url().ends_with("/files/a%20b%23%2520%C3%BC.gguf"), "{}", file.url());
    }

    #[test]
    fn folders_without_files_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("files/job-1");
        for path in ["a/1_Pooling/deep", "b/empty", "b/full"] {
            std::fs::create_dir_all(folder.join(path)).unwrap();
        }
        std::fs::write(folder.join("b/full/model.gguf"), "x").unwrap();
        let storage = Storage::folder(root.path()).unwrap();
        let url = url::Url::from_file_path(folder.canonicalize().unwrap()).unwrap();
        let job = storage.location(url.as_str()).unwrap();
        for name in ["a", "b", "missing", "b/full/model.gguf"] {
            job.join(name).unwrap().remove_empty_folders().unwrap();
        }
        let left = ["a", "b/empty", "b/full/model.gguf"].map(|path| folder.join(path).exists());
        assert_eq!(left, [false, false, true]);
        Storage::google(None).location("gs://files/job-1").unwrap().remove_empty_folders().unwrap();
    }

    /// On a thread of a runtime, as the job lists.
    #[tokio::test]
    async fn what_cannot_be_in_a_bucket_is_left_out_of_a_local_folder() {
        use futures_util::TryStreamExt as _;

        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("training/w");
        std::fs::create_dir_all(folder.join("checkpoint-1")).unwrap();
        let odd = [b"a\nb".as_slice(), b"checkpoint-1/a\nb", b"a\xff", b"checkpoint-1/\xff.txt", b"zz\x7f"];
        let odd = odd.map(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes);
        for name in odd.into_iter().chain(["README.md", "checkpoint-1/a.txt", "zzz.txt"].map(AsRef::as_ref)) {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.join("b\nc")).unwrap();
        std::fs::write(folder.join("b\nc/d"), "x").unwrap();
        for (target, link) in [
            (".", "latest"),
            ("..", "checkpoint-1/up"),
            ("itself", "itself"),
            ("gone", "to nothing"),
            ("README.md/x", "behind a file"),
            ("checkpoint-1/a.txt", "good"),
        ] {
            std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
        }
        let top = url::Url::from_file_path(root.path().canonicalize().unwrap()).unwrap();
        let storage = Storage::folder(root.path()).unwrap();
        let location = storage.location(&format!("{top}/training/w")).unwrap();
        let mut names: Vec<_> = location.list().map_ok(|object| object.location).try_collect().await.unwrap();
        names.sort();
        let listed = ["README.md", "checkpoint-1/a.txt", "good", "zzz.txt"];
        assert_eq!(names, listed.map(|name| Path::from(format!("training/w/{name}"))));
        let none = location.join(&"x".repeat(300)).unwrap().list().try_collect::<Vec<_>>().await;
        assert!(none.unwrap().is_empty());
    }

    #[test]
    fn urls_outside_the_root_are_rejected() {
        let root = tempfile::tempdir().unwrap();
        let folder = Storage::folder(root.path()).unwrap();
        let inside = url::Url::from_file_path(root.path().canonicalize().unwrap().join("files/x y")).unwrap();
        assert_eq!(folder.location(inside.as_str()).unwrap().path.as_ref(), "files/x y");
        let above = format!("{}/../../../secret", inside.as_str());
        for bad in ["file:///etc/passwd", "gs://models/x", "/etc/passwd", "https://example.com/x", "", &above]
        {
            assert!(folder.location(bad).is_err(), "{bad}");
        }
        for bad in ["file:///etc/passwd", "gs://", "gs:///x", "gs://b/a/../c", "gs://b/a//c", "s3://b/x"] {
            assert!(Storage::google(None).location(bad).is_err(), "{bad}");
        }
    }
}
