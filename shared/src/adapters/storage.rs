//! Buckets: Google Cloud Storage (`gs://bucket/path`) in the cloud, folders below one root (`file:///…`) locally.
//! Both are `object_store`, so every reader and writer is the same code. A URL of the other scheme, or a file
//! outside the root, is refused: documents name places, and they must not reach into the machine.

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

/// Longest wait for one request: a part of an upload or a range of a download.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long failing requests are tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The URL is of a kind that this service does not use.
    #[error("{0} is not a path in a bucket that this service uses (expected {1})")]
    Foreign(String, &'static str),
    /// The URL has no bucket, or a path that is not one.
    #[error("{0} is not a valid path in a bucket")]
    Malformed(String),
    /// The store behind it could not be set up.
    #[error("the bucket of {url} cannot be used")]
    Unusable {
        /// The place that was asked for.
        url: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

/// A folder or an object: a store, and a path in it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store that holds it.
    pub store: Arc<dyn ObjectStore>,
    /// The path within the store.
    pub path: Path,
    root: Root,
}

/// What a store's paths are relative to.
#[derive(Debug, Clone)]
enum Root {
    Bucket(String),
    Folder(PathBuf),
}

impl Place {
    /// The URL by which documents name it, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.root {
            Root::Bucket(bucket) => format!("gs://{bucket}/{}", self.path).trim_end_matches('/').to_owned(),
            Root::Folder(root) => url::Url::from_file_path(root.join(self.path.as_ref()))
                .map_or_else(|()| format!("file://{}/{}", root.display(), self.path), String::from),
        }
    }

    /// What lies below this place at `relative`, which may have several segments. They are taken literally.
    ///
    /// # Errors
    /// [`StorageError::Malformed`] for an empty segment, `.`, `..` and control characters.
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

/// Where buckets are.
#[derive(Debug)]
enum Backend {
    Google { emulator: Option<String> },
    Folder { root: PathBuf, store: Arc<LocalFileSystem> },
}

/// Finds the store of a URL.
#[derive(Debug)]
pub struct Storage {
    backend: Backend,
    buckets: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Storage {
    /// Google Cloud Storage with the credentials of the environment; `emulator` is `STORAGE_EMULATOR_HOST`, which
    /// needs none.
    #[must_use]
    pub fn google(emulator: Option<&str>) -> Self {
        let with_scheme =
            |host: &str| if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        Self { backend: Backend::Google { emulator: emulator.map(with_scheme) }, buckets: Mutex::default() }
    }

    /// Folders below `root`, which must exist.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] when `root` is not a folder.
    pub fn folder(root: &FilePath) -> Result<Self, StorageError> {
        let unusable = |source| StorageError::Unusable { url: root.display().to_string(), source };
        let store = LocalFileSystem::new_with_prefix(root).map_err(unusable)?.with_fsync(true);
        let root = root.canonicalize().map_err(|source| {
            unusable(object_store::Error::Generic { store: "folder", source: Box::new(source) })
        })?;
        Ok(Self { backend: Backend::Folder { root, store: Arc::new(store) }, buckets: Mutex::default() })
    }

    /// The place of that URL. `gs://bucket/a/b`, or, over folders, `file:///root/bucket/a/b`.
    ///
    /// # Errors
    /// When it is not a URL of this storage, or its store cannot be set up.
    pub fn place(&self, url: &str) -> Result<Place, StorageError> {
        let url = url.trim_end_matches('/');
        match &self.backend {
            Backend::Google { emulator } => {
                let rest = url
                    .strip_prefix("gs://")
                    .ok_or_else(|| StorageError::Foreign(url.to_owned(), "gs://bucket/path"))?;
                let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
                let path = Path::parse(path).map_err(|_| StorageError::Malformed(url.to_owned()))?;
                let store = self.bucket(bucket, emulator.as_deref(), url)?;
                Ok(Place { store, path, root: Root::Bucket(bucket.to_owned()) })
            }
            Backend::Folder { root, store } => {
                let foreign = || StorageError::Foreign(url.to_owned(), "file:///…, below the local buckets");
                let malformed = || StorageError::Malformed(url.to_owned());
                let file = url::Url::parse(url).ok().filter(|u| u.scheme() == "file").ok_or_else(foreign)?;
                let file = file.to_file_path().map_err(|()| malformed())?;
                let relative = file.strip_prefix(root).map_err(|_| foreign())?;
                let path = Path::parse(relative.to_str().ok_or_else(malformed)?).map_err(|_| malformed())?;
                Ok(Place { store: Arc::clone(store) as _, path, root: Root::Folder(root.clone()) })
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
        // The emulator knows no accounts; a static token keeps the client from looking for credentials.
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
    fn a_place_keeps_the_url_that_documents_hold() {
        let place = Storage::google(None).place("gs://models/merged_models/job 1/").unwrap();
        assert_eq!(place.url(), "gs://models/merged_models/job 1");
        let file = place.join("ü#~%/b.json").unwrap();
        assert_eq!(file.url(), "gs://models/merged_models/job 1/ü#~%/b.json");
        assert_eq!(Storage::google(None).place(&file.url()).unwrap().path, file.path);
        for bad in ["", "..", "a//b", "a/../b", "/a", "a/", "a\nb"] {
            assert!(place.join(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_local_place_has_a_file_url_that_leads_back_to_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = Storage::folder(root.path()).unwrap();
        let top = url::Url::from_file_path(root.path().canonicalize().unwrap()).unwrap();
        let file = folder.place(top.as_str()).unwrap().join("files/a b#%20ü.gguf").unwrap();
        assert_eq!(folder.place(&file.url()).unwrap().path, file.path);
        assert!(file.url().ends_with("/files/a%20b%23%2520%C3%BC.gguf"), "{}", file.url());
    }

    #[test]
    fn documents_cannot_reach_into_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let folder = Storage::folder(root.path()).unwrap();
        let inside = url::Url::from_file_path(root.path().canonicalize().unwrap().join("files/x y")).unwrap();
        assert_eq!(folder.place(inside.as_str()).unwrap().path.as_ref(), "files/x y");
        let above = format!("{}/../../../secret", inside.as_str());
        for bad in ["file:///etc/passwd", "gs://models/x", "/etc/passwd", "https://example.com/x", "", &above]
        {
            assert!(folder.place(bad).is_err(), "{bad}");
        }
        for bad in ["file:///etc/passwd", "gs://", "gs:///x", "gs://b/a/../c", "gs://b/a//c", "s3://b/x"] {
            assert!(Storage::google(None).place(bad).is_err(), "{bad}");
        }
    }
}
