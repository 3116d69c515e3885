//! Stores in place of the buckets of Google Cloud Storage.

use std::{collections::BTreeMap, sync::Arc};

use object_store::ObjectStore;

use super::{StorageBackend, StorageError, StorageLocation, StoreRoot, parse_gs};

#[derive(Debug)]
pub(super) struct Replaced(pub(super) BTreeMap<String, Arc<dyn ObjectStore>>);

impl StorageBackend for Replaced {
    fn location(&self, url: &str) -> Result<StorageLocation, StorageError> {
        let (bucket, path) = parse_gs(url)?;
        let store = self.0.get(bucket).ok_or_else(|| StorageError::Malformed(url.to_owned()))?;
        Ok(StorageLocation { store: Arc::clone(store), path, root: StoreRoot::Bucket(bucket.to_owned()) })
    }
}
