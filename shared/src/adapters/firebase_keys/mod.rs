//! The public keys of Firebase's ID tokens, from Google's endpoint: a JWK set, or a map of X.509 certificates.
//!
//! <https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library>

mod cache;
mod fetch;
mod parse;

use std::sync::Arc;

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;

use self::{cache::Cache, fetch::Endpoint};
use crate::{
    auth::Verifier,
    config,
    ports::{PortError, TokenKeys},
};

const GOOGLE: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no client")]
    Client(#[source] Arc<reqwest::Error>),
    #[error("no answer")]
    Request(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("more than {} bytes", fetch::MAX_BODY)]
    TooLarge,
    #[error("neither a JWK set nor a map of certificates")]
    Unreadable,
    #[error("the last attempt, a moment ago, failed")]
    JustFailed,
}

impl From<Failure> for PortError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { what: "the source of Firebase's keys", source: failure.into() }
    }
}

/// The keys, cached.
pub struct FirebaseKeys(Cache<Endpoint>);

impl FirebaseKeys {
    /// Keys of Google's endpoint, or of `url`. Nothing is fetched before the first token.
    #[must_use]
    pub fn new(url: Option<url::Url>) -> Self {
        Self(Cache::new(Endpoint::new(url.map_or_else(|| GOOGLE.to_owned(), String::from))))
    }
}

/// What checks the tokens of the project that the settings name: with keys of its issuer, or, beside the Auth
/// emulator, without.
#[must_use]
pub fn verifier(settings: config::Firebase) -> Verifier {
    if settings.emulated {
        Verifier::for_emulator(settings.project_id)
    } else {
        Verifier::new(settings.project_id, Arc::new(FirebaseKeys::new(settings.keys_url)))
    }
}

#[async_trait]
impl TokenKeys for FirebaseKeys {
    async fn key(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, PortError> {
        Ok(self.0.key(kid).await?)
    }
}
