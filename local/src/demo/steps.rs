//! The steps of the demo. Each sends a request, checks the response and prints it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;
use shared::domain::{ArtifactKind, Status};

use super::{
    client::{ApiClient, JobDetail, LatestExport},
    verify,
};
use crate::{
    data_dir::{Bucket, DataDir},
    terminal,
};

/// How often a running export is requested.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// More time than any export of the demo needs.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(300);

/// The progress lines of a stage of unknown and of known length.
const WAITING: &str = "  {prefix:<8} {spinner} {wide_msg}";
const WORKING: &str = "  {prefix:<8} {bar:30.blue/dim} {percent:>3} %  {decimal_bytes:>9} of {decimal_total_bytes:<9}  {wide_msg}";

/// `GET /health`.
pub(super) async fn health(client: &ApiClient) -> anyhow::Result<()> {
    let health = client.health().await?;
    ensure!(health["status"] == "healthy", "the service is not healthy: {health}");
    terminal::success("GET /health    healthy");
    Ok(())
}

/// `GET /exports`.
pub(super) async fn list(client: &ApiClient) -> anyhow::Result<()> {
    let jobs = client.jobs().await?;
    ensure!(jobs.iter().any(|job| job.job_id == super::JOB), "the list lacks {}", super::JOB);
    terminal::success(&format!("GET /exports   {} completed training jobs", jobs.len()));
    for job in &jobs {
        let (name, base) =
            (job.job_name.as_deref().unwrap_or("–"), job.base_model_id.as_deref().unwrap_or("–"));
        terminal::note(&format!("  {:<20} {name:<26} {base}", job.job_id));
    }
    Ok(())
}

/// `POST /exports`, then `GET /exports/{job_id}` until the export has ended, then checks of the file.
pub(super) async fn export(
    dir: &DataDir,
    client: &ApiClient,
    job: &str,
    kind: ArtifactKind,
) -> anyhow::Result<()> {
    terminal::line("");
    let (detail, export) = export_and_wait(client, job, kind).await?;
    let message = export.message.unwrap_or_default();
    ensure!(export.status == Status::Completed, "the {} export failed: {message}", kind.as_str());
    ensure!(!export.artifacts.is_empty(), "the {} export names no artifact", kind.as_str());
    let link =
        detail.artifacts["file"][kind.as_str()].as_str().context("the response has no link to the file")?;
    let file = file_of(dir, link)?;

    let copy = tempfile::NamedTempFile::new_in(dir.root())?;
    let sha256 = client.download(link, copy.path()).await.context("the download link does not work")?;
    let (contents, recorded, size) = tokio::task::spawn_blocking({
        let (copy, file) = (copy.path().to_owned(), file.clone());
        move || anyhow::Ok((verify::file(kind, &copy)?, recorded_sha256(&file)?, copy.metadata()?.len()))
    })
    .await?
    .with_context(|| format!("{} is not as expected", file.display()))?;
    ensure!(sha256 == recorded, "the SHA-256 of the file is {sha256}, but {recorded} is recorded");
    let expected = expected_tensors(dir, kind)?;
    ensure!(contents.tensors == expected, "the file has {} tensors, expected {expected}", contents.tensors);

    terminal::success(&format!("{:<8} {message}", kind.as_str()));
    terminal::note(&format!("  file      {}", relative_path(&file).display()));
    terminal::note(&format!("  size      {}", terminal::bytes(size)));
    terminal::note(&format!("  sha256    {sha256}"));
    terminal::note(&format!("  contents  {}, {} tensors", contents.summary, contents.tensors));
    Ok(())
}

/// Starts an export that must fail with a message.
pub(super) async fn export_fails(client: &ApiClient, job: &str, kind: ArtifactKind) -> anyhow::Result<()> {
    let (_, export) = export_and_wait(client, job, kind).await?;
    let message = export.message.unwrap_or_default();
    ensure!(export.status == Status::Failed, "an export of {job} did not fail");
    ensure!(message.contains("adapter_model.safetensors"), "the message does not name the file: {message}");
    terminal::success(&format!("export of {job}: failed"));
    terminal::note(&format!("  {message}"));
    Ok(())
}

/// A request that must be refused with that status.
pub(super) async fn request_is_refused(client: &ApiClient, path: &str, expected: u16) -> anyhow::Result<()> {
    let (status, answer) = client.request(Method::GET, path, None).await?;
    ensure!(status == expected, "GET {path} returned {status}, expected {expected}");
    let detail = answer["detail"].as_str().context("the answer has no detail")?;
    terminal::success(&format!("GET {path}: {status}"));
    terminal::note(&format!("  {detail}"));
    Ok(())
}

/// Starts an export and follows it to its end.
async fn export_and_wait(
    client: &ApiClient,
    job: &str,
    kind: ArtifactKind,
) -> anyhow::Result<(JobDetail, LatestExport)> {
    let id = client.export(job, kind).await?;
    let (unknown, known) = (ProgressStyle::with_template(WAITING)?, ProgressStyle::with_template(WORKING)?);
    let bar = ProgressBar::new(0).with_style(unknown.clone()).with_prefix(kind.as_str());
    bar.enable_steady_tick(POLL_INTERVAL);
    let follow = async {
        loop {
            let mut detail = client.job(job).await?;
            let export = detail.latest_export.take().context("the job has no export")?;
            ensure!(export.export_id == id, "the latest export is {} and not {id}", export.export_id);
            if let Some(progress) = &export.progress {
                let style = if progress.bytes_total == 0 { &unknown } else { &known };
                bar.set_style(style.clone());
                bar.set_length(progress.bytes_total);
                bar.set_position(progress.bytes_done);
                bar.set_message(export.message.clone().unwrap_or_default());
            }
            match export.status {
                Status::Running => tokio::time::sleep(POLL_INTERVAL).await,
                // requested again, because a response reads the job first and its export later
                Status::Completed | Status::Failed => return Ok((client.job(job).await?, export)),
            }
        }
    };
    let ended = tokio::time::timeout(EXPORT_TIMEOUT, follow).await;
    bar.finish_and_clear();
    match ended {
        Ok(ended) => ended,
        Err(_) => bail!("the {} export of {job} is still running", kind.as_str()),
    }
}

/// The file that a download link refers to.
fn file_of(dir: &DataDir, link: &str) -> anyhow::Result<PathBuf> {
    let link = url::Url::parse(link)?;
    let path = link.path().strip_prefix("/downloads/").context("the link is not a download link")?;
    let path = percent_encoding::percent_decode_str(path).decode_utf8()?;
    Ok(dir.buckets().join(&*path))
}

/// The SHA-256 in the manifest of the file: `published/{fingerprint}.json` for `{fingerprint}-{random}/{name}`.
fn recorded_sha256(file: &Path) -> anyhow::Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = file.parent().context("the file has no folder")?;
    let attempt = folder.file_name().and_then(|folder| folder.to_str()).unwrap_or_default();
    let (fingerprint, _) = attempt.split_once('-').context("the folder is not one of an artifact")?;
    let manifest = std::fs::read(folder.with_file_name("published").join(format!("{fingerprint}.json")))?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    let files = manifest["files"].as_array().context("the manifest has no files")?;
    let entry = files.iter().find(|entry| entry["name"] == name).context("the manifest lacks the file")?;
    Ok(entry["sha256"].as_str().context("the manifest has no SHA-256")?.to_owned())
}

/// The number of tensors of the adapter or of the base model.
fn expected_tensors(dir: &DataDir, kind: ArtifactKind) -> anyhow::Result<usize> {
    match kind {
        ArtifactKind::Adapter => {
            let adapter = dir.bucket(Bucket::Training).join(crate::demo_data::BIG_ADAPTER);
            verify::weights(&adapter.join("adapter_model.safetensors"))
        }
        ArtifactKind::Merged | ArtifactKind::Gguf => {
            let base = dir.bucket(Bucket::BaseModels).join(crate::demo_data::BIG_BASE);
            let index: Value =
                serde_json::from_slice(&std::fs::read(base.join("model.safetensors.index.json"))?)?;
            Ok(index["weight_map"]
                .as_object()
                .context("the index of the base model has no weight_map")?
                .len())
        }
    }
}

/// The path relative to the current directory, if it is below it.
fn relative_path(path: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}
