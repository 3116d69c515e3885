//! A fake Cloud Storage: the part of its XML API that reads and writes objects, in memory. Every write of an object gives
//! it a new generation; writes and reads can depend on it.

mod objects;
mod routes;

use std::{net::Ipv4Addr, sync::Arc};

use tokio::net::TcpListener;

use objects::Objects;

/// The running server.
pub struct CloudStorage {
    endpoint: String,
    objects: Arc<Objects>,
}

impl CloudStorage {
    /// Starts a server without objects. A bucket exists as soon as it is used.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let objects = Arc::new(Objects::default());
        let router = routes::router(Arc::clone(&objects));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, objects }
    }

    /// The base URL, for `STORAGE_EMULATOR_HOST`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Writes an object, by `bucket/path`.
    pub fn put(&self, path: &str, content: Vec<u8>) {
        self.objects.put(path, content);
    }

    /// Removes an object, by `bucket/path`.
    pub fn delete(&self, path: &str) {
        self.objects.delete(path);
    }

    /// Removes a bucket: nothing can be written to it from now on.
    pub fn remove_bucket(&self, name: &str) {
        self.objects.remove_bucket(name);
    }

    /// The content of an object, by `bucket/path`.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.objects.get(path).map(|object| object.content.to_vec())
    }

    /// How many bytes of the object were read, by `bucket/path`.
    #[must_use]
    pub fn bytes_sent(&self, path: &str) -> u64 {
        self.objects.bytes_sent(path)
    }

    /// The paths of all objects, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.objects.paths()
    }

    /// The sizes of the parts that an object was uploaded in; empty if it was written by one request.
    #[must_use]
    pub fn part_sizes(&self, path: &str) -> Vec<usize> {
        self.objects.get(path).map(|object| object.part_sizes).unwrap_or_default()
    }

    /// Overwrites the object `path` with `content` after its next `reads` reads.
    pub fn overwrite_after(&self, path: &str, reads: usize, content: Vec<u8>) {
        self.objects.overwrite_after(path, reads, content);
    }
}
