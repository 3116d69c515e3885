//! The input files of an export, with their hashes.
//!
//! Small files and the adapter's are hashed whole; the hash of a file that was parsed is that of the bytes that were
//! parsed. The weights of a base are read once, by the export itself, in the order of its output. Their files are
//! identified by the hash of the header and the hashes of the tensors (`TensorReport::base`), which together cover every
//! byte read.

use std::sync::Arc;

use serde::Serialize;

use super::{OutputFile, ReportContext};
use crate::checkpoint::{ADAPTER_CONFIG, FileOrigin, INDEX_FILE, ModelFiles, Shard};
use crate::error::{Error, Result};
use crate::io::{Folder, Source, sha256};
use crate::merge::Model;
use crate::peft::Adapter;
use crate::progress::RunOptions;

const CONFIG_FILE: &str = "config.json";

/// The input files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFiles {
    /// The commit of the base model's repository, if it was read from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<String>,
    /// Of the base model.
    pub base: Vec<InputFile>,
    /// Of the adapter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapter: Vec<InputFile>,
    /// Of the model that a drafter drafts for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<InputFile>,
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

impl InputFiles {
    /// The files of an adapter, which are those that were copied but for its configuration.
    pub(crate) fn of_copied(adapter: &Adapter, copied: &[OutputFile], run: &RunOptions<'_>) -> Result<Self> {
        let file = |copied: &OutputFile| {
            if copied.name == ADAPTER_CONFIG {
                return whole(ADAPTER_CONFIG, &*open(&**adapter.folder(), ADAPTER_CONFIG)?, run);
            }
            let OutputFile { name, bytes, sha256 } = copied.clone();
            Ok(InputFile { name, bytes, sha256: Some(sha256), header_sha256: None })
        };
        let adapter = copied.iter().map(file).collect::<Result<_>>()?;
        Ok(Self { base_revision: None, base: Vec::new(), adapter, target: Vec::new() })
    }

    /// The inputs of a model, and of the small files that the reports of one export have in common.
    pub(crate) fn read(model: &Model, context: Option<&ReportContext>, run: &RunOptions<'_>) -> Result<Self> {
        let base_revision = model.base().folder().revision().map(str::to_owned);
        let mut inputs = Self { base_revision, base: Vec::new(), adapter: Vec::new(), target: Vec::new() };
        let index = model.base().has_index().then_some(INDEX_FILE);
        for name in [CONFIG_FILE].into_iter().chain(index) {
            inputs.base.push(whole(name, &*open(model.base().folder(), name)?, run)?);
        }
        for shard in model.base().shards() {
            inputs.base.push(weights(shard));
        }
        if let Some(adapter) = model.adapter() {
            inputs.adapter.push(whole(ADAPTER_CONFIG, &*open(&**adapter.folder(), ADAPTER_CONFIG)?, run)?);
            for (name, source) in adapter.files() {
                inputs.adapter.push(whole(name, &**source, run)?);
            }
        }
        for name in context.map(|context| &context.companions).into_iter().flatten() {
            for (origin, file) in
                small_files(model.files(), name, run)?.into_iter().filter(|_| name != CONFIG_FILE)
            {
                match origin {
                    FileOrigin::Adapter => inputs.adapter.push(file),
                    FileOrigin::Base => inputs.base.push(file),
                }
            }
            if let Some(target) = context.and_then(|context| context.target.as_ref()) {
                inputs.target.extend(small_files(target, name, run)?.into_iter().map(|(_, file)| file));
            }
        }
        Ok(inputs)
    }
}

/// The files that the content of this name is made of.
fn small_files(files: &ModelFiles, name: &str, run: &RunOptions<'_>) -> Result<Vec<(FileOrigin, InputFile)>> {
    let described =
        |(origin, source): (FileOrigin, Arc<dyn Source>)| Ok((origin, whole(name, &*source, run)?));
    files.inputs(name)?.into_iter().map(described).collect()
}

fn open(folder: &dyn Folder, name: &str) -> Result<Arc<dyn Source>> {
    folder.open(name).map_err(|e| Error::read(format!("{}/{name}", folder.location()), e))
}

fn whole(name: &str, source: &dyn Source, run: &RunOptions<'_>) -> Result<InputFile> {
    let hash = match source.read_sha256() {
        Some(hash) => hash,
        None => sha256(source, 0..source.size(), &|| run.progress.cancelled())?,
    };
    Ok(InputFile { name: name.to_owned(), bytes: source.size(), sha256: Some(hash), header_sha256: None })
}

fn weights(shard: &Shard) -> InputFile {
    let (name, header_sha256) = (shard.name.clone(), Some(shard.header_sha256.clone()));
    InputFile { name, bytes: shard.source.size(), sha256: None, header_sha256 }
}
