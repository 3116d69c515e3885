//! Checks that the Hub takes the files, and large ones through Xet. The client does not look at what the Hub says about single
//! files, and without Xet it would hold large ones in memory and send them inside the commit.

use engine::WrittenFile;
use hub_client::{HubError, HubResponse};
use reqwest::{Method, Url, header};
use serde::Deserialize;
use serde_json::json;

use crate::client::PushClient;
use crate::error::{HubOperation, PushError};
use crate::request::{PushTarget, Refusal};

/// Largest file in bytes that a commit may contain; larger files go through Xet.
const MAX_INLINE_SIZE: u64 = 10 << 20;

/// The response of the Git LFS batch API.
#[derive(Deserialize)]
struct BatchResponse {
    transfer: Option<String>,
    #[serde(default)]
    objects: Vec<BatchObject>,
}

/// What the Hub says about one file.
#[derive(Deserialize)]
struct BatchObject {
    oid: String,
    error: Option<BatchError>,
}

#[derive(Deserialize)]
struct BatchError {
    /// A status of HTTP.
    code: u16,
    #[serde(default)]
    message: String,
}

impl PushClient {
    /// Fails if the Hub refuses a file, or if there are files over [`MAX_INLINE_SIZE`] and it does not offer Xet for them.
    pub(crate) fn check_transfer(&self, target: &PushTarget<'_>) -> Result<(), PushError> {
        let repo = target.repo;
        let sent: Vec<&WrittenFile> = target.files.iter().filter(|file| file.size > 0).collect();
        if sent.is_empty() {
            return Ok(());
        }
        let response = self.requests.block_on(self.requests.with_retries(|| self.batch(repo, &sent)));
        let batch = response.map_err(|error| HubOperation::push(repo).failed(error))?;
        let has_large = sent.iter().any(|file| file.size > MAX_INLINE_SIZE);
        match batch.transfer.as_deref() {
            Some("xet") => Ok(()),
            _ if !has_large => Ok(()),
            other => {
                tracing::error!(offered = ?other, "the Hub does not offer Xet");
                Err(PushError::refused(repo, Refusal::NoXet(MAX_INLINE_SIZE)))
            }
        }
    }

    async fn batch(&self, repo: &str, files: &[&WrittenFile]) -> Result<BatchResponse, HubError> {
        let objects: Vec<_> =
            files.iter().map(|file| json!({ "oid": file.sha256, "size": file.size })).collect();
        let body = json!({
            "operation": "upload", "transfers": ["basic", "multipart", "xet"], "objects": objects,
            "hash_algo": "sha256", "ref": { "name": "main" },
        });
        let url = format!("{}.git/info/lfs/objects/batch", self.url_of(repo));
        let url = Url::parse(&url).map_err(HubError::invalid_request)?;
        let media = "application/vnd.git-lfs+json";
        let post = self
            .requests
            .to_hub(Method::POST, url)
            .header(header::ACCEPT, media)
            .json(&body)
            .header(header::CONTENT_TYPE, media);
        let batch: BatchResponse = self.requests.send_to_api(post).await?.json().await?;
        match batch.refused(files) {
            Some(refused) => Err(HubError::Response(Box::new(refused))),
            None => Ok(batch),
        }
    }
}

impl BatchResponse {
    /// The error of the first file that has one, by the file's name.
    fn refused(&self, files: &[&WrittenFile]) -> Option<HubResponse> {
        self.objects.iter().find_map(|object| {
            let error = object.error.as_ref()?;
            let file = files.iter().find(|file| file.sha256 == object.oid);
            let name = file.map_or(object.oid.as_str(), |file| file.name.as_str());
            Some(HubResponse::new(error.code, None, Some(&format!("{name}: {}", error.message))))
        })
    }
}
