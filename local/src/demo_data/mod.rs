//! The demo data: base models, adapters and training jobs. They are created on the first start, without a network, with
//! the same bytes every time. Data that exists is not changed.

mod documents;
mod generated;
mod tiny_models;

use std::{fs, io, path::Path};

use anyhow::Context as _;
use shared::adapters::documents::TRAINING_JOBS;

use self::tiny_models::{GEMMA2_ADAPTER, GEMMA2_BASE, GEMMA3_ADAPTER, GEMMA3_BASE, ModelFiles};
use crate::{
    data_dir::{Bucket, DataDir},
    store::DocumentStore,
};

pub(crate) use self::documents::BIG_ADAPTER;

/// The generated base model.
pub(crate) const BIG_BASE: &str = "google/gemma-3-1b-2-layers";
const GEMMA2: &str = "google/gemma-2-micro";
const GEMMA3: &str = "google/gemma-3-micro";

/// Whether the generated base model does not exist yet, which takes a moment to create.
pub(crate) fn is_missing(dir: &DataDir) -> bool {
    !dir.bucket(Bucket::BaseModels).join(BIG_BASE).exists()
}

/// Creates what is missing: models first, then the documents that refer to them.
///
/// # Errors
/// If a file or a document cannot be written.
pub(crate) async fn create(dir: &DataDir, store: &DocumentStore) -> anyhow::Result<()> {
    let folders = dir.clone();
    tokio::task::spawn_blocking(move || create_folders(&folders))
        .await?
        .context("cannot create the models for the demo")?;
    for (id, document) in documents::training_jobs(&dir.bucket_url(Bucket::Training)?) {
        store.put_new(TRAINING_JOBS, id, &document).await?;
    }
    Ok(())
}

fn create_folders(dir: &DataDir) -> io::Result<()> {
    let drafts = dir.drafts();
    let models = dir.bucket(Bucket::BaseModels);
    let training = dir.bucket(Bucket::Training);
    create_folder(&drafts, &models.join(GEMMA2), |to| write(to, GEMMA2_BASE))?;
    create_folder(&drafts, &models.join(GEMMA3), |to| write(to, GEMMA3_BASE))?;
    create_folder(&drafts, &models.join(BIG_BASE), generated::write_base)?;
    create_folder(&drafts, &training.join(BIG_ADAPTER), |to| generated::write_adapter(to, BIG_BASE))?;
    create_folder(&drafts, &training.join(documents::MICRO_ADAPTER), |to| write(to, GEMMA3_ADAPTER))?;
    create_folder(&drafts, &training.join(documents::FULL_MODEL), |to| write(to, GEMMA3_BASE))?;
    create_folder(&drafts, &training.join(documents::BROKEN_ADAPTER), write_broken_adapter)?;
    create_folder(&drafts, &training.join(documents::BENS_ADAPTER), |to| write(to, GEMMA2_ADAPTER))
}

/// Creates `folder` atomically: `fill` writes into `drafts`, which is then renamed.
fn create_folder(drafts: &Path, folder: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    match fs::remove_dir_all(drafts) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(drafts)?;
    fill(drafts)?;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(drafts, folder)
}

fn write(folder: &Path, files: ModelFiles) -> io::Result<()> {
    files.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

/// Writes an adapter whose weights are cut off in the middle.
fn write_broken_adapter(folder: &Path) -> io::Result<()> {
    write(folder, GEMMA3_ADAPTER)?;
    let weights = tiny_models::file(GEMMA3_ADAPTER, "adapter_model.safetensors");
    fs::write(folder.join("adapter_model.safetensors"), &weights[..weights.len() / 2])
}

#[cfg(test)]
mod tests;
