//! The public keys that sign Firebase ID tokens and App Check tokens, from Google's endpoints: a JWK set, or a map of
//! X.509 certificates.
//!
//! <https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library>

mod cache;
mod fetch;
mod parse;

use std::sync::Arc;

use async_trait::async_trait;

use self::{cache::KeyCache, fetch::KeysEndpoint};
use crate::{
    auth::{AppCheck, Verifier},
    config,
    ports::{PortError, TokenKeys},
    rsa_key::RsaPublicKey,
};

const GOOGLE: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// <https://firebase.google.com/docs/app-check/custom-resource-backend>
const APP_CHECK: &str = "https://firebaseappcheck.googleapis.com/v1/jwks";

/// Why keys cannot be fetched.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("the HTTP client could not be created")]
    Client(#[source] Arc<reqwest::Error>),
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("the response is larger than {} bytes", fetch::MAX_BODY)]
    TooLarge,
    #[error("the response is neither a JWK set nor a map of certificates")]
    Unreadable,
    #[error("the last fetch failed and is not retried yet")]
    JustFailed,
}

impl From<KeysError> for PortError {
    fn from(failure: KeysError) -> Self {
        Self::Unavailable { what: "the endpoint of the Firebase keys", source: failure.into() }
    }
}

/// The cached keys.
pub struct FirebaseKeys(KeyCache<KeysEndpoint>);

impl FirebaseKeys {
    /// Keys from `url`, by default from Google's endpoint. They are fetched on first use.
    #[must_use]
    pub fn new(url: Option<url::Url>) -> Self {
        Self::at(url.map_or_else(|| GOOGLE.to_owned(), String::from))
    }

    fn at(url: String) -> Self {
        Self(KeyCache::new(KeysEndpoint::new(url)))
    }

    /// Shared, and fetched from now on: the first request waits less.
    fn fetched_early(self) -> Arc<Self> {
        let keys = Arc::new(self);
        let fetching = Arc::clone(&keys);
        tokio::spawn(async move { fetching.0.prefetch().await });
        keys
    }
}

/// The verifier for the configured project: with the keys of the issuer, or for unsigned tokens of the Auth emulator; and
/// with App Check if it is required. Starts to fetch the keys, so it needs a runtime.
#[must_use]
pub fn verifier(settings: config::FirebaseConfig) -> Verifier {
    let verifier = if settings.emulated {
        Verifier::for_emulator(settings.project_id)
    } else {
        Verifier::new(settings.project_id, FirebaseKeys::new(settings.keys_url).fetched_early())
    };
    match settings.app_check {
        Some(number) => {
            let keys = FirebaseKeys::at(APP_CHECK.to_owned()).fetched_early();
            verifier.with_app_check(AppCheck::new(number, keys))
        }
        None => verifier,
    }
}

#[async_trait]
impl TokenKeys for FirebaseKeys {
    async fn key(&self, kid: &str) -> Result<Option<Arc<RsaPublicKey>>, PortError> {
        Ok(self.0.key(kid).await?)
    }
}
