//! Buckets: Google Cloud Storage (`gs://bucket/path`) in production, folders below one root (`file:///…`) locally.
//!
//! Both use `object_store`, so all other code is the same. A URL with the other scheme, or of a file outside the root, is
//! rejected: the URLs come from documents, which must not give access to the file system of the machine.

use std::{
    collections::HashMap,
    path::{Path as FilePath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem,
    path::{Path, PathPart},
};

/// The timeout of one request: a part of an upload or a range of a download.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long failed requests are retried.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);

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
    Bucket(String),
    Folder(PathBuf),
}

impl StorageLocation {
    /// The URL, as stored in documents, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.root {
            StoreRoot::Bucket(bucket) => {
                format!("gs://{bucket}/{}", self.path).trim_end_matches('/').to_owned()
            }
            StoreRoot::Folder(root) => url::Url::from_file_path(root.join(self.path.as_ref()))
                .map_or_else(|()| format!("file://{}/{}", root.display(), self.path), String::from),
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

/// The implementation of buckets.
#[derive(Debug)]
enum StorageBackend {
    Google { emulator: Option<String> },
    Folder { root: PathBuf, store: Arc<LocalFileSystem> },
}

/// Resolves URLs to locations, with one client per bucket.
#[derive(Debug)]
pub struct Storage {
    backend: StorageBackend,
    buckets: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Storage {
    /// Google Cloud Storage with the credentials of the environment. `emulator` is `STORAGE_EMULATOR_HOST`, which is
    /// accessed without credentials.
    #[must_use]
    pub fn google(emulator: Option<&str>) -> Self {
        let with_scheme =
            |host: &str| if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        Self {
            backend: StorageBackend::Google { emulator: emulator.map(with_scheme) },
            buckets: Mutex::default(),
        }
    }

    /// Folders below `root`, which must exist.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] if `root` is not a folder.
    pub fn folder(root: &FilePath) -> Result<Self, StorageError> {
        let unusable = |source| StorageError::Unusable { url: root.display().to_string(), source };
        let store = LocalFileSystem::new_with_prefix(root).map_err(unusable)?.with_fsync(true);
        let root = root.canonicalize().map_err(|source| {
            unusable(object_store::Error::Generic { store: "folder", source: Box::new(source) })
        })?;
        Ok(Self {
            backend: StorageBackend::Folder { root, store: Arc::new(store) },
            buckets: Mutex::default(),
        })
    }

    /// The location at that URL: `gs://bucket/a/b` or, with local folders, `file:///root/bucket/a/b`.
    ///
    /// # Errors
    /// If the URL is not supported by this storage, or the client for the bucket cannot be created.
    pub fn location(&self, url: &str) -> Result<StorageLocation, StorageError> {
        let url = url.trim_end_matches('/');
        match &self.backend {
            StorageBackend::Google { emulator } => {
                let rest = url
                    .strip_prefix("gs://")
                    .ok_or_else(|| StorageError::Unsupported(url.to_owned(), "gs://bucket/path"))?;
                let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
                let path = Path::parse(path).map_err(|_| StorageError::Malformed(url.to_owned()))?;
                let store = self.bucket(bucket, emulator.as_deref(), url)?;
                Ok(StorageLocation { store, path, root: StoreRoot::Bucket(bucket.to_owned()) })
            }
            StorageBackend::Folder { root, store } => {
                let unsupported = || {
                    StorageError::Unsupported(url.to_owned(), "file:///…, below the folder of local buckets")
                };
                let malformed = || StorageError::Malformed(url.to_owned());
                let file =
                    url::Url::parse(url).ok().filter(|u| u.scheme() == "file").ok_or_else(unsupported)?;
                let file = file.to_file_path().map_err(|()| malformed())?;
                let relative = file.strip_prefix(root).map_err(|_| unsupported())?;
                let path = Path::parse(relative.to_str().ok_or_else(malformed)?).map_err(|_| malformed())?;
                Ok(StorageLocation {
                    store: Arc::clone(store) as _,
                    path,
                    root: StoreRoot::Folder(root.clone()),
                })
            }
        }
    }

    fn bucket(
        &self,
        name: &str,
        emulator: Option<&str>,
        url: &str,
    ) -> Result<Arc<dyn ObjectStore>, StorageError> {
        if name.is_empty() {
            return Err(StorageError::Malformed(url.to_owned()));
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = buckets.get(name) {
            return Ok(Arc::clone(store));
        }
        let store = google_bucket(name, emulator)
            .map_err(|source| StorageError::Unusable { url: url.to_owned(), source })?;
        buckets.insert(name.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

fn google_bucket(name: &str, emulator: Option<&str>) -> object_store::Result<Arc<dyn ObjectStore>> {
    let client = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(Duration::from_secs(5))
        .with_allow_http(emulator.is_some());
    let retry = RetryConfig {
        max_retries: 8,
        retry_timeout: RETRY_TIMEOUT,
        backoff: BackoffConfig { max_backoff: Duration::from_secs(10), ..BackoffConfig::default() },
    };
    let builder = match emulator {
        // The emulator does not check tokens; with a static one the client does not search for credentials.
        Some(host) => GoogleCloudStorageBuilder::new().with_base_url(host).with_bearer_token("emulator"),
        None => GoogleCloudStorageBuilder::from_env(),
    };
    let store = builder.with_bucket_name(name).with_client_options(client).with_retry(retry).build()?;
    Ok(Arc::new(store))
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
