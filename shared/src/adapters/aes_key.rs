//! A key of AES-256-GCM in this process, for the local stack.

use async_trait::async_trait;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SystemRandom, generate},
};

use crate::ports::{EncryptionKey, PortError};

/// The length of a key in bytes.
pub const KEY_LEN: usize = 32;

/// A key. What it encrypts is a random nonce and the ciphertext with its tag.
pub struct AesKey(LessSafeKey);

#[derive(Debug, thiserror::Error)]
enum AesError {
    #[error("a key has {KEY_LEN} bytes")]
    Key,
    #[error("the text cannot be encrypted")]
    Encrypt,
    #[error("the text was encrypted with another key or for another use")]
    Decrypt,
}

impl From<AesError> for PortError {
    fn from(error: AesError) -> Self {
        Self::Failed { what: "the key of this machine", source: error.into() }
    }
}

impl AesKey {
    /// The key of these [`KEY_LEN`] random bytes.
    ///
    /// # Errors
    /// If there are fewer or more.
    pub fn new(bytes: &[u8]) -> Result<Self, PortError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| AesError::Key)?;
        Ok(Self(LessSafeKey::new(key)))
    }
}

#[async_trait]
impl EncryptionKey for AesKey {
    async fn encrypt(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, PortError> {
        let nonce =
            generate::<[u8; NONCE_LEN]>(&SystemRandom::new()).map_err(|_| AesError::Encrypt)?.expose();
        let mut ciphertext = plaintext.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut ciphertext,
            )
            .map_err(|_| AesError::Encrypt)?;
        Ok([&nonce[..], &ciphertext].concat())
    }

    async fn decrypt(&self, ciphertext: &[u8], context: &[u8]) -> Result<Vec<u8>, PortError> {
        let (nonce, rest) = ciphertext.split_at_checked(NONCE_LEN).ok_or(AesError::Decrypt)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| AesError::Decrypt)?;
        let mut rest = rest.to_vec();
        let plaintext = self.0.open_in_place(nonce, Aad::from(context), &mut rest);
        Ok(plaintext.map_err(|_| AesError::Decrypt)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::encryption;

    #[tokio::test]
    async fn keys_of_this_machine_conform() {
        let (one, other) = (AesKey::new(&[7; KEY_LEN]).unwrap(), AesKey::new(&[8; KEY_LEN]).unwrap());
        encryption::conformance(&one).await;
        let ciphertext = one.encrypt(b"hf_secret", b"here").await.unwrap();
        assert!(other.decrypt(&ciphertext, b"here").await.is_err());
        assert!(AesKey::new(&[7; 31]).is_err());
    }
}
