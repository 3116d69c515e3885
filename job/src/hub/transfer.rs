//! Checks that the Hub takes large files through Xet. Without Xet the client would hold them in memory and send them
//! inside the commit.

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use shared::domain::HubRepo;

use super::Hub;
use crate::{error::JobError, manifest::ManifestFile};

/// Largest file in bytes that a commit may contain; larger files go through Xet.
const MAX_INLINE_SIZE: u64 = 10 << 20;

/// The response of the Git LFS batch API.
#[derive(Deserialize)]
struct BatchResponse {
    transfer: Option<String>,
}

impl Hub {
    /// Fails if there are files over [`MAX_INLINE_SIZE`] and the Hub does not offer Xet for them.
    pub(super) fn check_transfer(&self, repo: &HubRepo, files: &[ManifestFile]) -> Result<(), JobError> {
        let large: Vec<&ManifestFile> = files.iter().filter(|file| file.size > MAX_INLINE_SIZE).collect();
        if large.is_empty() {
            return Ok(());
        }
        let response = self.runtime.block_on(self.batch(repo, &large));
        match response.as_ref().map(|batch| batch.transfer.as_deref()) {
            Ok(Some("xet")) => Ok(()),
            Ok(other) => {
                tracing::error!(offered = ?other, "the Hub does not offer Xet");
                Err(JobError::InvalidInput(format!(
                    "the Hugging Face Hub does not offer Xet for {repo}, which files over {MAX_INLINE_SIZE} bytes need: \
                     enable Xet for the account, or export to gcs"
                )))
            }
            Err(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "the LFS batch request failed");
                Err(JobError::Interrupted(format!(
                    "preparing the upload of large files to {repo} on the Hugging Face Hub failed: export again, files \
                     already written are reused"
                )))
            }
        }
    }

    async fn batch(&self, repo: &HubRepo, files: &[&ManifestFile]) -> reqwest::Result<BatchResponse> {
        let objects: Vec<_> =
            files.iter().map(|file| json!({ "oid": file.sha256, "size": file.size })).collect();
        let body = json!({
            "operation": "upload", "transfers": ["basic", "multipart", "xet"], "objects": objects,
            "hash_algo": "sha256", "ref": { "name": "main" },
        });
        let url = format!("{}/{}.git/info/lfs/objects/batch", self.client.endpoint(), repo);
        let media = "application/vnd.git-lfs+json";
        let mut post = reqwest::Client::new()
            .post(url)
            .timeout(self.settings.deadline)
            .header(reqwest::header::ACCEPT, media)
            .json(&body)
            .header(reqwest::header::CONTENT_TYPE, media);
        if let Some(token) = &self.token {
            post = post.bearer_auth(token.expose_secret());
        }
        post.send().await?.error_for_status()?.json().await
    }
}
