//! A client of the API, over HTTP through the gateway.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::domain::{ArtifactKind, Status};
use tokio::io::AsyncWriteExt as _;

/// A client with or without a token.
pub(super) struct ApiClient {
    client: Client,
    origin: String,
    token: Option<String>,
}

/// The fields that the demo reads of a job in the list.
#[derive(Debug, Deserialize)]
pub(super) struct ListedJob {
    pub(super) job_id: String,
    pub(super) job_name: Option<String>,
    pub(super) base_model_id: Option<String>,
}

/// The fields that the demo reads of a single job.
#[derive(Debug, Deserialize)]
pub(super) struct JobDetail {
    pub(super) artifacts: Value,
    pub(super) latest_export: Option<LatestExport>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LatestExport {
    pub(super) export_id: String,
    pub(super) status: Status,
    pub(super) message: Option<String>,
    pub(super) artifacts: Vec<Value>,
    pub(super) progress: Option<ExportProgress>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExportProgress {
    pub(super) bytes_done: u64,
    pub(super) bytes_total: u64,
}

impl ApiClient {
    pub(super) fn new(origin: &str, token: Option<String>) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Self { client, origin: origin.to_owned(), token })
    }

    /// The status and the JSON of any response.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.origin));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{path} does not respond"))?;
        let status = response.status();
        Ok((status, response.json().await.with_context(|| format!("the response of {path} is not JSON"))?))
    }

    async fn ok(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        match self.request(method, path, body).await? {
            (StatusCode::OK, answer) => Ok(answer),
            (status, answer) => bail!("{path} returned {status}: {answer}"),
        }
    }

    pub(super) async fn health(&self) -> anyhow::Result<Value> {
        self.ok(Method::GET, "/health", None).await
    }

    pub(super) async fn jobs(&self) -> anyhow::Result<Vec<ListedJob>> {
        Ok(serde_json::from_value(self.ok(Method::GET, "/exports", None).await?)?)
    }

    pub(super) async fn job(&self, id: &str) -> anyhow::Result<JobDetail> {
        Ok(serde_json::from_value(self.ok(Method::GET, &format!("/exports/{id}"), None).await?)?)
    }

    /// Starts an export and returns its id.
    pub(super) async fn export(&self, id: &str, kind: ArtifactKind) -> anyhow::Result<String> {
        let mut request = json!({ "job_id": id, "export_type": kind, "destination": ["gcs"] });
        if kind == ArtifactKind::Gguf {
            request["quantization"] = "q8_0".into();
        }
        let answer = self.ok(Method::POST, "/exports", Some(&request)).await?;
        let export = answer["export_id"].as_str().context("the response has no export_id")?;
        Ok(export.to_owned())
    }

    /// Downloads a link into a file and returns its SHA-256.
    pub(super) async fn download(&self, link: &str, to: &Path) -> anyhow::Result<String> {
        let mut response = self.client.get(link).send().await?.error_for_status()?;
        let mut file = tokio::fs::File::create(to).await?;
        let mut digest = Sha256::new();
        while let Some(part) = response.chunk().await? {
            digest.update(&part);
            file.write_all(&part).await?;
        }
        file.flush().await?;
        Ok(hex::encode(digest.finalize()))
    }
}
