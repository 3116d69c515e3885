//! RSA public keys that verify RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

/// The public key of an issuer. A signature of a key of fewer than 2048 bits is never valid.
pub struct RsaPublicKey(RsaPublicKeyComponents<Vec<u8>>);

impl RsaPublicKey {
    /// The key with this modulus and exponent, in big-endian order.
    #[must_use]
    pub fn new(modulus: Vec<u8>, exponent: Vec<u8>) -> Self {
        Self(RsaPublicKeyComponents { n: modulus, e: exponent })
    }

    /// Whether the signature is of that message and by this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }
}
