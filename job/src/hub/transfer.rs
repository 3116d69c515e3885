//! How the Hub wants large files. The client falls back to sending them whole, in memory, inside the commit when the
//! Hub does not offer Xet; so the Hub is asked before anything is sent.

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::{Hub, push::Push};
use crate::{error::JobError, manifest::ManifestFile};

/// Files above this size must go through Xet, never inside a commit.
const LARGEST_INLINE: u64 = 10 << 20;

#[derive(Deserialize)]
struct Batch {
    transfer: Option<String>,
}

impl Hub {
    /// Makes sure that the files too large for a commit have another way to the Hub.
    pub(super) fn check_transfer(&self, push: &Push<'_>) -> Result<(), JobError> {
        let large: Vec<&ManifestFile> = push.files.iter().filter(|file| file.size > LARGEST_INLINE).collect();
        if large.is_empty() {
            return Ok(());
        }
        let offered = self.runtime.block_on(self.offered(push, &large));
        match offered.as_ref().map(|batch| batch.transfer.as_deref()) {
            Ok(Some("xet")) => Ok(()),
            Ok(other) => {
                tracing::error!(offered = ?other, "the Hub does not offer Xet");
                Err(JobError::Inputs(format!(
                    "the Hugging Face Hub does not take files over {LARGEST_INLINE} bytes for {} through Xet: switch \
                     Xet on for the account, or export to gcs",
                    push.repo
                )))
            }
            Err(error) => {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "the Hub did not say how it takes large files"
                );
                Err(JobError::Inputs(format!(
                    "the Hugging Face Hub did not say how it takes the files for {}: export again, what was made is kept",
                    push.repo
                )))
            }
        }
    }

    async fn offered(&self, push: &Push<'_>, files: &[&ManifestFile]) -> reqwest::Result<Batch> {
        let objects: Vec<_> =
            files.iter().map(|file| json!({ "oid": file.sha256, "size": file.size })).collect();
        let body = json!({
            "operation": "upload", "transfers": ["basic", "multipart", "xet"], "objects": objects,
            "hash_algo": "sha256", "ref": { "name": "main" },
        });
        let url = format!("{}/{}.git/info/lfs/objects/batch", self.client.endpoint(), push.repo);
        let media = "application/vnd.git-lfs+json";
        let mut request = reqwest::Client::new()
            .post(url)
            .timeout(self.settings.deadline)
            .header(reqwest::header::ACCEPT, media)
            .json(&body)
            .header(reqwest::header::CONTENT_TYPE, media);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        request.send().await?.error_for_status()?.json().await
    }
}
