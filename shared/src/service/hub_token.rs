//! The caller's Hub token on its way to the job. Where a key is set, it is encrypted for one export, so that who reads an
//! execution's environment or an audit log learns nothing.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{ExecutionName, ExportId},
    ports::{EncryptionKey, JobLauncher, LaunchError, PortError},
};

/// The start of a sealed token. A token of the Hub has no colon.
const SEALED: &str = "sealed:v1:";

/// Why a sealed token was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The job has no key.
    #[error("HF_TOKEN is sealed, but HF_TOKEN_KEY is not set")]
    NoKey,
    /// It is no base64, or not text.
    #[error("HF_TOKEN is not a sealed token")]
    Malformed,
    /// It was sealed with another key or for another export, or the key cannot be used.
    #[error("HF_TOKEN was not opened")]
    Port(#[from] PortError),
}

/// The token as `sealed:v1:<base64>`, which only that export can open.
///
/// # Errors
/// If the key cannot be used.
pub async fn seal(
    key: &dyn EncryptionKey,
    export: ExportId,
    token: &SecretString,
) -> Result<SecretString, PortError> {
    let ciphertext = key.encrypt(token.expose_secret().as_bytes(), export.to_string().as_bytes()).await?;
    Ok(format!("{SEALED}{}", BASE64_STANDARD.encode(ciphertext)).into())
}

/// The token in the job's environment: opened if it is sealed, else as it is. It is registered for redaction.
///
/// # Errors
/// If it is sealed and cannot be opened.
pub async fn open(
    key: Option<&dyn EncryptionKey>,
    export: ExportId,
    value: &SecretString,
) -> Result<SecretString, OpenError> {
    let Some(sealed) = value.expose_secret().strip_prefix(SEALED) else { return Ok(value.clone()) };
    let ciphertext = BASE64_STANDARD.decode(sealed).map_err(|_| OpenError::Malformed)?;
    let plaintext = key.ok_or(OpenError::NoKey)?.decrypt(&ciphertext, export.to_string().as_bytes()).await?;
    let token = String::from_utf8(plaintext).map_err(|_| OpenError::Malformed)?.into();
    redaction::register(&token);
    Ok(token)
}

/// A launcher that gets sealed tokens.
pub struct SealingLauncher {
    /// Starts the job.
    pub launcher: Arc<dyn JobLauncher>,
    /// Encrypts tokens.
    pub key: Arc<dyn EncryptionKey>,
}

#[async_trait]
impl JobLauncher for SealingLauncher {
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError> {
        let sealed = match hf_token {
            Some(token) => Some(seal(&*self.key, export, token).await),
            None => None,
        };
        let sealed = sealed.transpose().map_err(|error| LaunchError::NotStarted(error.into()))?;
        self.launcher.launch(export, sealed.as_ref()).await
    }

    async fn cancel(&self, execution: &ExecutionName) -> Result<(), PortError> {
        self.launcher.cancel(execution).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::aes_key::{AesKey, KEY_LEN},
        testing::RecordingLauncher,
    };

    fn key(byte: u8) -> AesKey {
        AesKey::new(&[byte; KEY_LEN]).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_opened_by_its_export_alone() {
        let (export, other) = (ExportId::random(), ExportId::random());
        let sealed = seal(&key(1), export, &"hf_canary".into()).await.unwrap();
        assert!(
            sealed.expose_secret().starts_with("sealed:v1:") && !sealed.expose_secret().contains("canary")
        );
        let open = async |key: Option<&dyn EncryptionKey>, export| {
            open(key, export, &sealed).await.map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(open(Some(&key(1)), export).await.unwrap(), "hf_canary");
        assert!(matches!(open(Some(&key(1)), other).await, Err(OpenError::Port(_))));
        assert!(matches!(open(Some(&key(2)), export).await, Err(OpenError::Port(_))));
        assert!(matches!(open(None, export).await, Err(OpenError::NoKey)));
    }

    #[tokio::test]
    async fn a_plain_token_stays_as_it_is() {
        let opened = open(None, ExportId::random(), &"hf_canary".into()).await.unwrap();
        assert_eq!(opened.expose_secret(), "hf_canary");
        let malformed = open(Some(&key(1)), ExportId::random(), &"sealed:v1:%".into()).await;
        assert!(matches!(malformed, Err(OpenError::Malformed)));
    }

    #[tokio::test]
    async fn a_launch_gets_the_sealed_token() {
        let recording = Arc::new(RecordingLauncher::default());
        let launcher = SealingLauncher { launcher: Arc::clone(&recording) as _, key: Arc::new(key(1)) };
        let export = ExportId::random();
        launcher.launch(export, Some(&"hf_canary".into())).await.unwrap();
        launcher.launch(export, None).await.unwrap();
        let launches = recording.launches();
        let sealed = launches[0].hf_token.clone().unwrap();
        assert!(sealed.starts_with("sealed:v1:") && launches[1].hf_token.is_none());
        let opened = open(Some(&key(1)), export, &sealed.into()).await.unwrap();
        assert_eq!(opened.expose_secret(), "hf_canary");
    }
}
