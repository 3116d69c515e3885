//! The conformance suite for encryption keys, and a fake Cloud KMS (gRPC, Encrypt and Decrypt) with one key.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use gcloud_sdk::{
    google::cloud::kms::v1::{DecryptRequest, EncryptResponse},
    prost::Message,
    proto_ext::kms::{DecryptResponse, EncryptRequest},
    tonic::{
        Request, Response, Status,
        server::{Grpc, UnaryService},
    },
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    adapters::aes_key::{AesKey, KEY_LEN},
    ports::{EncryptionKey, PortError},
};

/// Runs the suite.
///
/// # Panics
/// If the key does not conform.
pub async fn conformance(key: &dyn EncryptionKey) {
    for text in [&b"hf_secret"[..], &[0, 255, 128], &[b'x'; 1024]] {
        let ciphertext = key.encrypt(text, b"export 1").await.expect("encrypts");
        assert!(!ciphertext.windows(text.len()).any(|part| part == text), "the text is readable");
        assert_eq!(key.decrypt(&ciphertext, b"export 1").await.expect("decrypts"), text);
        assert_ne!(key.encrypt(text, b"export 1").await.expect("encrypts"), ciphertext, "no random nonce");
        rejected(key.decrypt(&ciphertext, b"export 2").await);
        for position in [0, ciphertext.len() / 2, ciphertext.len() - 1] {
            let mut tampered = ciphertext.clone();
            tampered[position] ^= 1;
            rejected(key.decrypt(&tampered, b"export 1").await);
        }
        rejected(key.decrypt(&ciphertext[..ciphertext.len() - 1], b"export 1").await);
    }
    rejected(key.decrypt(b"", b"export 1").await);
}

fn rejected(result: Result<Vec<u8>, PortError>) {
    assert!(matches!(result, Err(PortError::Failed { .. })), "{result:?}");
}

/// The server. It stops when dropped.
pub struct FakeKms {
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl FakeKms {
    /// The resource name of its key, for `HF_TOKEN_KEY`.
    pub const KEY: &str = "projects/demo/locations/us-central1/keyRings/export-service/cryptoKeys/hub-tokens";

    /// Starts the server on a free loopback port.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let key = Arc::new(AesKey::new(&[7; KEY_LEN]).expect("a key"));
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, KmsService(Arc::clone(&key))));
            }
        });
        Self { address, server }
    }

    /// The value for `KMS_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FakeKms {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn connection(stream: TcpStream, kms: KmsService) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let kms = kms.clone();
        async move {
            let response = match request.uri().path().rsplit('/').next() {
                Some("Encrypt") => grpc::<EncryptRequest, EncryptResponse>().unary(kms, request).await,
                Some("Decrypt") => grpc::<DecryptRequest, DecryptResponse>().unary(kms, request).await,
                Some(_) | None => Status::unimplemented("Encrypt and Decrypt only").into_http(),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.serve_connection(TokioIo::new(stream), service).await.ok();
}

fn grpc<Q, R>() -> Grpc<tonic_prost::ProstCodec<R, Q>>
where
    Q: Message + Default + Send + 'static,
    R: Message + Send + 'static,
{
    Grpc::new(tonic_prost::ProstCodec::default())
}

#[derive(Clone)]
struct KmsService(Arc<AesKey>);

fn check(name: &str) -> Result<(), Status> {
    if name == FakeKms::KEY { Ok(()) } else { Err(Status::not_found("no such key")) }
}

fn invalid(_: PortError) -> Status {
    Status::invalid_argument("Decryption failed: the ciphertext is invalid.")
}

impl UnaryService<EncryptRequest> for KmsService {
    type Response = EncryptResponse;
    type Future = BoxFuture<'static, Result<Response<EncryptResponse>, Status>>;

    fn call(&mut self, request: Request<EncryptRequest>) -> Self::Future {
        let (key, message) = (Arc::clone(&self.0), request.into_inner());
        Box::pin(async move {
            check(&message.name)?;
            let (plaintext, context) = (&message.plaintext, &message.additional_authenticated_data);
            let ciphertext = key.encrypt(plaintext.as_sensitive_bytes(), context).await.map_err(invalid)?;
            let name = message.name;
            Ok(Response::new(EncryptResponse { name, ciphertext, ..EncryptResponse::default() }))
        })
    }
}

impl UnaryService<DecryptRequest> for KmsService {
    type Response = DecryptResponse;
    type Future = BoxFuture<'static, Result<Response<DecryptResponse>, Status>>;

    fn call(&mut self, request: Request<DecryptRequest>) -> Self::Future {
        let (key, message) = (Arc::clone(&self.0), request.into_inner());
        Box::pin(async move {
            check(&message.name)?;
            let context = &message.additional_authenticated_data;
            let plaintext = key.decrypt(&message.ciphertext, context).await.map_err(invalid)?;
            Ok(Response::new(DecryptResponse { plaintext: plaintext.into(), ..DecryptResponse::default() }))
        })
    }
}
