//! The conformance suite for encryption keys, and a fake Cloud KMS (gRPC, Encrypt and Decrypt) with one key.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gcloud_sdk::{
    google::cloud::kms::v1::{DecryptRequest, EncryptResponse},
    proto_ext::kms::{DecryptResponse, EncryptRequest},
    tonic::{Request, Response, Status, body::Body, server::UnaryService},
};
use hyper::body::Incoming;

use super::grpc::{self, GrpcServer};
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
pub struct FakeKms(GrpcServer);

impl FakeKms {
    /// The resource name of its key, for `HF_TOKEN_KEY`.
    pub const KEY: &str = "projects/demo/locations/us-central1/keyRings/export-service/cryptoKeys/hub-tokens";

    /// Starts the server on a free loopback port.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let key = Arc::new(AesKey::new(&[7; KEY_LEN]).expect("a key"));
        Self(GrpcServer::start(move |stream| grpc::serve(stream, answer(KmsService(Arc::clone(&key))))).await)
    }

    /// The value for `KMS_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}

fn answer(
    kms: KmsService,
) -> impl Fn(hyper::Request<Incoming>) -> BoxFuture<'static, hyper::Response<Body>> + Send {
    move |request| {
        let kms = kms.clone();
        Box::pin(async move {
            match request.uri().path().rsplit('/').next() {
                Some("Encrypt") => {
                    grpc::method::<EncryptRequest, EncryptResponse>().unary(kms, request).await
                }
                Some("Decrypt") => {
                    grpc::method::<DecryptRequest, DecryptResponse>().unary(kms, request).await
                }
                Some(_) | None => Status::unimplemented("Encrypt and Decrypt only").into_http(),
            }
        })
    }
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
