//! The key that seals Hub tokens on their way to the job, as Cloud KMS does in production.

use anyhow::anyhow;
use aws_lc_rs::rand;
use shared::adapters::aes_key::{AesKey, KEY_LEN};

use crate::{data_dir::DataDir, secret_file};

/// The key of this stack, which is created if it does not exist.
pub(crate) fn load_or_create(dir: &DataDir) -> anyhow::Result<AesKey> {
    let path = dir.keys().join("hub-tokens.key");
    let bytes = secret_file::load_or_create(&path, || {
        let mut key = vec![0; KEY_LEN];
        rand::fill(&mut key).map_err(|_| anyhow!("cannot generate a key"))?;
        Ok(key)
    })?;
    AesKey::new(&bytes)
        .map_err(|_| anyhow!("{} does not hold a key: delete it to create a new one", path.display()))
}
