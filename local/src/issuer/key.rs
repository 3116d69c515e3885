//! The key that signs tokens.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::secret_file;

/// An RSA key of 2048 bits and its key id.
pub(crate) struct SigningKey {
    pair: KeyPair,
    id: String,
}

impl SigningKey {
    /// The key in that file, which is created if it does not exist.
    pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        let der = secret_file::load_or_create(path, || {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("cannot generate a key"))?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow!("cannot encode a key"))?;
            Ok(der.as_ref().to_vec())
        })?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|error| anyhow!("{error}")).with_context(|| {
            format!("{} does not hold a private key: delete it to create a new one", path.display())
        })?;
        let digest = Sha256::digest(pair.public_key().modulus().big_endian_without_leading_zero());
        let id = hex::encode(&digest[..20]);
        Ok(Self { pair, id })
    }

    /// The public key as a JWK set, with the fields that Google's have.
    pub(crate) fn public_keys(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        }] })
    }

    /// A signed JWT with those claims.
    pub(crate) fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| anyhow!("cannot sign a token"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
