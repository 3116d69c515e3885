//! The key that signs tokens.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use graviola::signing::rsa::{KeySize, SigningKey as NewKey};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::secret_file;

/// The most bytes of a private key of 2048 bits in PKCS #8.
const MAX_DER: usize = 2048;

/// An RSA key of 2048 bits and its key id.
pub(crate) struct SigningKey {
    pair: KeyPair,
    public: PublicKeyComponents<Vec<u8>>,
    id: String,
}

impl SigningKey {
    /// The key in that file, which is created if it does not exist.
    pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        let der = secret_file::load_or_create(path, || {
            // ring makes no keys
            let mut buffer = [0; MAX_DER];
            let key = NewKey::generate(KeySize::Rsa2048).map_err(|_| anyhow!("cannot generate a key"))?;
            let der = key.to_pkcs8_der(&mut buffer).map_err(|_| anyhow!("cannot encode a key"))?;
            Ok(der.to_vec())
        })?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|error| anyhow!("{error}")).with_context(|| {
            format!("{} does not hold a private key: delete it to create a new one", path.display())
        })?;
        let public = PublicKeyComponents::from(pair.public_key());
        let id = hex::encode(&Sha256::digest(&public.n)[..20]);
        Ok(Self { pair, public, id })
    }

    /// The public key as a JWK set, with the fields that Google's have.
    pub(crate) fn public_keys(&self) -> Value {
        json!({ "keys": [{
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.id,
            "n": URL_SAFE_NO_PAD.encode(&self.public.n),
            "e": URL_SAFE_NO_PAD.encode(&self.public.e),
        }] })
    }

    /// A signed JWT with those claims.
    pub(crate) fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| anyhow!("cannot sign a token"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
