//! The input files of an export, with their hashes.
//!
//! Small files and the adapter's are hashed whole; those that a plan has read, when it reads them. The weights of a base are read once, by the export itself, in the
//! order of its output. Their files are identified by the hash of the header and the hashes of the tensors
//! (`TensorReport::base`), which together cover every byte read.

use serde::Serialize;

use crate::checkpoint::{ADAPTER_CONFIG, FileOrigin, INDEX_FILE, header};
use crate::error::{Error, Result};
use crate::io::{Folder, Source, sha256};
use crate::merge::Model;
use crate::progress::RunOptions;

/// The input files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFiles {
    /// Of the base model.
    pub base: Vec<InputFile>,
    /// Of the adapter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapter: Vec<InputFile>,
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFile {
    /// The name in its folder.
    pub name: String,
    /// The size.
    pub bytes: u64,
    /// The hash of the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The hash of a safetensors file up to its first tensor; the tensors have hashes of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_sha256: Option<String>,
}

impl InputFile {
    fn whole(name: &str, bytes: u64, sha256: String) -> Self {
        Self { name: name.to_owned(), bytes, sha256: Some(sha256), header_sha256: None }
    }
}

impl InputFiles {
    pub(crate) fn read(model: &Model, companions: &[String], run: &RunOptions<'_>) -> Result<Self> {
        let mut inputs = Self { base: Vec::new(), adapter: Vec::new() };
        let index = model.base().has_index().then_some(INDEX_FILE);
        for name in ["config.json"].into_iter().chain(index) {
            inputs.base.push(whole(name, &*open(model.base().folder(), name)?, run)?);
        }
        for shard in model.base().shards() {
            inputs.base.push(weights(&shard.name, &*shard.source, run)?);
        }
        if let Some(adapter) = model.adapter() {
            inputs.adapter.push(whole(ADAPTER_CONFIG, &*open(&**adapter.folder(), ADAPTER_CONFIG)?, run)?);
            for (name, source) in adapter.files() {
                inputs.adapter.push(whole(name, &**source, run)?);
            }
        }
        for name in companions.iter().filter(|name| *name != "config.json") {
            for (origin, source) in model.files().inputs(name)? {
                let files = match origin {
                    FileOrigin::Adapter => &mut inputs.adapter,
                    FileOrigin::Base => &mut inputs.base,
                };
                files.push(match model.files().sha256(origin, name) {
                    Some(hash) => InputFile::whole(name, source.size(), hash),
                    None => whole(name, &*source, run)?,
                });
            }
        }
        Ok(inputs)
    }
}

fn open(folder: &dyn Folder, name: &str) -> Result<std::sync::Arc<dyn Source>> {
    folder.open(name).map_err(|e| Error::read(format!("{}/{name}", folder.location()), e))
}

fn whole(name: &str, source: &dyn Source, run: &RunOptions<'_>) -> Result<InputFile> {
    let hash = sha256(source, 0..source.size(), &|| run.progress.cancelled())?;
    Ok(InputFile::whole(name, source.size(), hash))
}

fn weights(name: &str, source: &dyn Source, run: &RunOptions<'_>) -> Result<InputFile> {
    let hash = sha256(source, 0..header::header_length(source)?, &|| run.progress.cancelled())?;
    Ok(InputFile { name: name.to_owned(), bytes: source.size(), sha256: None, header_sha256: Some(hash) })
}
