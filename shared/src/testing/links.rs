//! Links to nowhere.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::ports::{DownloadLinks, PortError};

/// Answers `https://files.test/…` for paths below `gs://files/`.
#[derive(Debug, Default)]
pub struct FakeLinks {
    broken: AtomicBool,
}

impl FakeLinks {
    /// Makes every link from now on an error.
    pub fn break_down(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl DownloadLinks for FakeLinks {
    async fn link(&self, path: &str) -> Result<Option<String>, PortError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(PortError::Unavailable { what: "the signer", source: "told to fail".into() });
        }
        Ok(path.strip_prefix("gs://files/").map(|object| format!("https://files.test/{object}?signed")))
    }
}
