//! Fake download links.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::ports::{DownloadLinks, PortError};

/// Returns `https://files.test/…` for paths below `gs://files/`.
#[derive(Debug, Default)]
pub struct FakeLinks {
    failing: AtomicBool,
}

impl FakeLinks {
    /// Makes all further calls fail.
    pub fn set_failing(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl DownloadLinks for FakeLinks {
    async fn link(&self, path: &str) -> Result<Option<String>, PortError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(PortError::Unavailable {
                what: "the signing service",
                source: "configured failure".into(),
            });
        }
        Ok(path.strip_prefix("gs://files/").map(|object| format!("https://files.test/{object}?signed")))
    }
}
