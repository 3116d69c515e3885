//! Makes tokens: good ones, and any kind of bad one.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde_json::{Value, json};

use super::fixtures::PROJECT;
use crate::{
    clock,
    ports::{PortError, TokenKeys},
};

/// Private key of [`Mint::first`].
pub const FIRST_KEY: &str = include_str!("keys/first.pem");
/// Its public half.
pub const FIRST_PUBLIC: &str = include_str!("keys/first.pub.pem");
/// Private key of [`Mint::second`].
pub const SECOND_KEY: &str = include_str!("keys/second.pem");
/// Its public half.
pub const SECOND_PUBLIC: &str = include_str!("keys/second.pub.pem");
/// A certificate of the first key that is valid for a century.
pub const FIRST_CERTIFICATE: &str = include_str!("keys/first.crt");
/// A certificate of the second key that expired in 2020.
pub const EXPIRED_CERTIFICATE: &str = include_str!("keys/second-expired.crt");

/// One signing key of an issuer. The keys are for tests and known to everybody.
pub struct Mint {
    kid: &'static str,
    key: EncodingKey,
}

impl Mint {
    /// The issuer's current key, `first`.
    ///
    /// # Panics
    /// Never: the key is a fixture.
    #[must_use]
    pub fn first() -> Self {
        Self { kid: "first", key: EncodingKey::from_rsa_pem(FIRST_KEY.as_bytes()).expect("an RSA key") }
    }

    /// The issuer's other key, `second`.
    ///
    /// # Panics
    /// Never: the key is a fixture.
    #[must_use]
    pub fn second() -> Self {
        Self { kid: "second", key: EncodingKey::from_rsa_pem(SECOND_KEY.as_bytes()).expect("an RSA key") }
    }

    /// A good token of that user for [`PROJECT`].
    #[must_use]
    pub fn token(&self, uid: &str) -> String {
        self.with_claims(&claims(uid))
    }

    /// A token that says exactly that.
    #[must_use]
    pub fn with_claims(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "RS256", "kid": self.kid, "typ": "JWT"}).to_string(), &claims.to_string())
    }

    /// A token of any header and payload, signed with this key by RS256.
    #[must_use]
    pub fn sign(&self, header: &str, payload: &str) -> String {
        self.sign_with(Algorithm::RS256, header, payload)
    }

    /// A token of any header and payload, signed with this key by that algorithm of RSA.
    ///
    /// # Panics
    /// When the algorithm is not one of RSA.
    #[must_use]
    pub fn sign_with(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = crypto::sign(message.as_bytes(), &self.key, algorithm).expect("an RSA algorithm");
        format!("{message}.{signature}")
    }
}

/// The claims of a good token, to be changed.
#[must_use]
pub fn claims(uid: &str) -> Value {
    let now = clock::now().as_second();
    json!({
        "iss": format!("https://securetoken.google.com/{PROJECT}"), "aud": PROJECT, "sub": uid, "user_id": uid,
        "auth_time": now - 60, "iat": now - 60, "exp": now + 3_540, "email": "ada@example.com",
        "firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"},
    })
}

/// A token as the Auth emulator issues it: unsigned.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", encode(br#"{"alg":"none","typ":"JWT"}"#), encode(claims.to_string().as_bytes()))
}

/// Base64url without padding, as in a token.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public keys of both mints, as an issuer that never rotates would give them.
pub struct FixedKeys(HashMap<&'static str, Arc<DecodingKey>>);

impl Default for FixedKeys {
    fn default() -> Self {
        let key = |pem: &str| DecodingKey::from_rsa_pem(pem.as_bytes()).expect("an RSA key");
        Self(
            [("first", FIRST_PUBLIC), ("second", SECOND_PUBLIC)]
                .map(|(kid, pem)| (kid, Arc::new(key(pem))))
                .into(),
        )
    }
}

#[async_trait]
impl TokenKeys for FixedKeys {
    async fn key(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, PortError> {
        Ok(self.0.get(kid).map(Arc::clone))
    }
}
