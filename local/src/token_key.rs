//! The key that seals Hub tokens on their way to the job, as Cloud KMS does in production.

use anyhow::anyhow;
use shared::adapters::aes_key::{AesKey, KEY_LEN};

use crate::{data_dir::DataDir, secret_file};

/// The key of this stack, which is created if it does not exist.
pub(crate) fn load_or_create(dir: &DataDir) -> anyhow::Result<AesKey> {
    let path = dir.keys().join("hub-tokens.key");
    let bytes = secret_file::load_or_create(&path, || secret_file::random_bytes(KEY_LEN))?;
    AesKey::new(&bytes)
        .map_err(|_| anyhow!("{} does not hold a key: delete it to create a new one", path.display()))
}
