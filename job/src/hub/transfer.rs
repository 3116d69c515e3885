//! Checks that the Hub takes large files through Xet. Without Xet the client would hold them in memory and send them
//! inside the commit.

use reqwest::{Method, Url, header};
use serde::Deserialize;
use serde_json::json;
use shared::domain::HubRepo;

use super::{
    Hub,
    error::{HubError, HubOperation},
};
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
        let response = self.runtime.block_on(self.with_retries(|| self.batch(repo, &large)));
        let batch = response.map_err(|error| HubOperation::Write(repo.clone()).failed(error))?;
        match batch.transfer.as_deref() {
            Some("xet") => Ok(()),
            other => {
                tracing::error!(offered = ?other, "the Hub does not offer Xet");
                Err(JobError::InvalidInput(format!(
                    "the Hugging Face Hub does not offer Xet for {repo}, which files over {MAX_INLINE_SIZE} bytes need: \
                     enable Xet for the account, or export to gcs"
                )))
            }
        }
    }

    async fn batch(&self, repo: &HubRepo, files: &[&ManifestFile]) -> Result<BatchResponse, HubError> {
        let objects: Vec<_> =
            files.iter().map(|file| json!({ "oid": file.sha256, "size": file.size })).collect();
        let body = json!({
            "operation": "upload", "transfers": ["basic", "multipart", "xet"], "objects": objects,
            "hash_algo": "sha256", "ref": { "name": "main" },
        });
        let url = format!("{}.git/info/lfs/objects/batch", self.url_of(repo));
        let url = Url::parse(&url).map_err(|error| HubError::Client(error.into()))?;
        let media = "application/vnd.git-lfs+json";
        let post = self
            .to_hub(Method::POST, url)
            .header(header::ACCEPT, media)
            .json(&body)
            .header(header::CONTENT_TYPE, media);
        Ok(self.send(post).await?.json().await?)
    }
}
