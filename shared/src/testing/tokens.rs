//! Creates valid and invalid tokens.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding},
};
use serde_json::{Value, json};

use super::fixtures::PROJECT;
use crate::{
    clock,
    ports::{PortError, TokenKeys},
    rsa_key::RsaPublicKey,
};

/// The private key of [`TokenSigner::first`].
pub const FIRST_KEY: &str = include_str!("keys/first.pem");
/// The corresponding public key.
pub const FIRST_PUBLIC: &str = include_str!("keys/first.pub.pem");
/// The private key of [`TokenSigner::second`].
pub const SECOND_KEY: &str = include_str!("keys/second.pem");
/// The corresponding public key.
pub const SECOND_PUBLIC: &str = include_str!("keys/second.pub.pem");
/// A certificate of the first key that is valid for 100 years.
pub const FIRST_CERTIFICATE: &str = include_str!("keys/first.crt");
/// A certificate of the second key that expired in 2020.
pub const EXPIRED_CERTIFICATE: &str = include_str!("keys/second-expired.crt");

/// One signing key of the issuer. The keys are public and only for tests.
pub struct TokenSigner {
    kid: &'static str,
    key: KeyPair,
}

impl TokenSigner {
    /// The issuer's current key, `first`.
    ///
    /// # Panics
    /// Never: the key is a fixture.
    #[must_use]
    pub fn first() -> Self {
        Self { kid: "first", key: key_pair(FIRST_KEY) }
    }

    /// The issuer's other key, `second`.
    ///
    /// # Panics
    /// Never: the key is a fixture.
    #[must_use]
    pub fn second() -> Self {
        Self { kid: "second", key: key_pair(SECOND_KEY) }
    }

    /// The key that verifies its tokens.
    #[must_use]
    pub fn public_key(&self) -> RsaPublicKey {
        let PublicKeyComponents { n, e } = PublicKeyComponents::from(self.key.public_key());
        RsaPublicKey::new(n, e)
    }

    /// A valid token of that user for [`PROJECT`].
    #[must_use]
    pub fn token(&self, uid: &str) -> String {
        self.with_claims(&claims(uid))
    }

    /// A token with those claims.
    #[must_use]
    pub fn with_claims(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "RS256", "kid": self.kid, "typ": "JWT"}).to_string(), &claims.to_string())
    }

    /// A token with that header and payload, signed with RS256.
    #[must_use]
    pub fn sign(&self, header: &str, payload: &str) -> String {
        self.sign_with(&RSA_PKCS1_SHA256, header, payload)
    }

    /// A token with that header and payload, signed with that RSA algorithm.
    ///
    /// # Panics
    /// If the key is too short for it.
    #[must_use]
    pub fn sign_with(&self, algorithm: &'static dyn RsaEncoding, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(algorithm, &SystemRandom::new(), message.as_bytes(), &mut signature);
        signed.expect("a signature");
        format!("{message}.{}", encode(&signature))
    }
}

fn key_pair(pem: &str) -> KeyPair {
    KeyPair::from_pkcs8(pem::parse(pem).expect("PEM").contents()).expect("an RSA key")
}

/// The claims of a valid token.
#[must_use]
pub fn claims(uid: &str) -> Value {
    let now = clock::now().as_second();
    json!({
        "iss": format!("https://securetoken.google.com/{PROJECT}"), "aud": PROJECT, "sub": uid, "user_id": uid,
        "auth_time": now - 60, "iat": now - 60, "exp": now + 3_540, "email": "ada@example.com",
        "firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"},
    })
}

/// An unsigned token, as issued by the Auth emulator.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", encode(br#"{"alg":"none","typ":"JWT"}"#), encode(claims.to_string().as_bytes()))
}

/// Base64url without padding, as in a token.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public keys of both signers.
pub struct FixedKeys(HashMap<&'static str, Arc<RsaPublicKey>>);

impl Default for FixedKeys {
    fn default() -> Self {
        let signers = [TokenSigner::first(), TokenSigner::second()];
        Self(signers.map(|signer| (signer.kid, Arc::new(signer.public_key()))).into())
    }
}

#[async_trait]
impl TokenKeys for FixedKeys {
    async fn key(&self, kid: &str) -> Result<Option<Arc<RsaPublicKey>>, PortError> {
        Ok(self.0.get(kid).map(Arc::clone))
    }
}
