//! The Xet store: the in-memory server of the client library.

use std::{net::Ipv4Addr, sync::Arc};

use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, sync::oneshot};
use xet_client::cas_client::{DeletionControlableClient, DirectAccessClient, LocalServer, MemoryClient};
use xet_runtime::core::XetContext;

pub(super) struct XetStore {
    pub(super) endpoint: String,
    client: Arc<MemoryClient>,
    _stop: oneshot::Sender<()>,
}

impl XetStore {
    pub(super) async fn start() -> Self {
        let client = MemoryClient::new(XetContext::default().expect("a context"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = LocalServer::from_client(
            client.clone(),
            Some(client.clone()),
            address.ip().to_string(),
            address.port(),
        );
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move { server.serve_until_stopped(listener, stopped).await });
        // Clients remember on disk what a store has, by its endpoint; a port alone may be that of an earlier store.
        let endpoint = format!("http://{}@{address}", uuid::Uuid::new_v4());
        Self { endpoint, client, _stop: stop }
    }

    /// The Xet hash and the bytes of the file with that SHA-256, if it was uploaded completely.
    pub(super) async fn file(&self, sha256: &str) -> Option<(String, Vec<u8>)> {
        for (file, _) in self.client.list_file_shard_entries().await.ok()? {
            if let Ok(bytes) = self.client.get_file_data(&file, None).await
                && hex::encode(Sha256::digest(&bytes)) == sha256
            {
                return Some((file.hex(), bytes.to_vec()));
            }
        }
        None
    }
}
