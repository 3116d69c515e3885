//! Google Cloud Storage, with one client per bucket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig, gcp::GoogleCloudStorageBuilder};

use super::{StorageBackend, StorageError, StorageLocation, StoreRoot, parse_gs};
use crate::adapters::tls;

/// The timeout of one request: a part of an upload or a range of a download.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long failed requests are retried.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Buckets {
    emulator: Option<String>,
    clients: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Buckets {
    pub(super) fn new(emulator: Option<&str>) -> Self {
        let with_scheme =
            |host: &str| if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        Self { emulator: emulator.map(with_scheme), clients: Mutex::default() }
    }

    fn client(&self, bucket: &str, url: &str) -> Result<Arc<dyn ObjectStore>, StorageError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(bucket) {
            return Ok(Arc::clone(client));
        }
        let client = google_bucket(bucket, self.emulator.as_deref())
            .map_err(|source| StorageError::Unusable { url: url.to_owned(), source })?;
        clients.insert(bucket.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

impl StorageBackend for Buckets {
    fn location(&self, url: &str) -> Result<StorageLocation, StorageError> {
        let (bucket, path) = parse_gs(url)?;
        let store = self.client(bucket, url)?;
        Ok(StorageLocation { store, path, root: StoreRoot::Bucket(bucket.to_owned()) })
    }
}

fn google_bucket(name: &str, emulator: Option<&str>) -> object_store::Result<Arc<dyn ObjectStore>> {
    tls::install_provider();
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
