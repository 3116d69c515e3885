//! Describes the content of a folder or file, from headers alone.

use std::sync::Arc;

use serde::Serialize;

use crate::checkpoint::{Checkpoint, is_model_weights};
use crate::error::{Error, Result};
use crate::gemma::Architecture;
use crate::gguf::{GgufFile, GgufTensor};
use crate::io::{Folder, Source};
use crate::peft::Adapter;

/// A folder's content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FolderContent {
    /// A full model.
    Model {
        /// The first entry of `architectures` in `config.json`.
        class: Option<String>,
        /// The GGUF architecture, if the family is supported.
        architecture: Option<&'static str>,
        /// The number of elements of all tensors.
        parameters: u64,
        /// The number of tensors.
        tensors: usize,
        /// Element types, with the number of tensors of each.
        dtypes: Vec<(&'static str, usize)>,
        /// The weight files.
        shards: Vec<String>,
        /// The tokenizer files.
        tokenizer: Vec<String>,
    },
    /// A LoRA adapter.
    Adapter {
        /// `base_model_name_or_path`.
        base_model: Option<String>,
        /// `r`.
        rank: u32,
        /// `lora_alpha`.
        alpha: f64,
        /// The number of modules that the adapter changes.
        modules: usize,
        /// `target_modules`.
        targets: Vec<String>,
    },
    /// A full model, and an adapter that is not applied to it.
    ModelAndAdapter {
        /// The model.
        model: Box<FolderContent>,
        /// The adapter.
        adapter: Box<FolderContent>,
    },
    /// A GGUF file.
    Gguf {
        /// The number of elements of all tensors.
        parameters: u64,
        /// The number of tensors.
        tensors: usize,
        /// Tensor types, with the number of tensors of each.
        types: Vec<(String, usize)>,
        /// Metadata keys and values; long lists as their length.
        keys: Vec<(String, String)>,
    },
}

/// Describes a model or adapter.
///
/// # Errors
/// As [`Checkpoint::open`] and [`Adapter::open`].
pub fn describe(folder: Arc<dyn Folder>) -> Result<FolderContent> {
    if Checkpoint::is_in(&*folder)? {
        return model(&Checkpoint::open(folder)?);
    }
    let adapter = adapter(&Adapter::open(Arc::clone(&folder))?);
    if !has_model(&*folder)? {
        return Ok(adapter);
    }
    let model = model(&Checkpoint::open(folder)?)?;
    Ok(FolderContent::ModelAndAdapter { model: Box::new(model), adapter: Box::new(adapter) })
}

/// Whether an adapter's folder has a model too. Some trainers save the base's `config.json` beside an adapter.
fn has_model(folder: &dyn Folder) -> Result<bool> {
    let entries = folder.list().map_err(|e| Error::read(folder.location(), e))?;
    let has = |is: &dyn Fn(&str) -> bool| entries.iter().any(|entry| is(&entry.name));
    Ok(has(&|name| name == "config.json") && has(&is_model_weights))
}

fn adapter(adapter: &Adapter) -> FolderContent {
    let config = adapter.config();
    FolderContent::Adapter {
        base_model: config.base_model.clone(),
        rank: config.rank,
        alpha: config.alpha,
        modules: adapter.modules(),
        targets: config.targets.clone(),
    }
}

fn model(checkpoint: &Checkpoint) -> Result<FolderContent> {
    let entries = checkpoint.folder().list().map_err(|e| Error::read(checkpoint.location(), e))?;
    let mut tokenizer: Vec<String> =
        entries.into_iter().map(|e| e.name).filter(|n| n.starts_with("tokenizer")).collect();
    tokenizer.sort();
    Ok(FolderContent::Model {
        class: checkpoint.config().class().map(str::to_owned),
        architecture: Architecture::of(checkpoint.config()).ok().map(Architecture::as_str),
        parameters: checkpoint.parameters(),
        tensors: checkpoint.tensors().len(),
        dtypes: count_each(checkpoint.tensors().iter().map(|t| t.dtype.as_str())),
        shards: checkpoint.shards().iter().map(|s| s.name.clone()).collect(),
        tokenizer,
    })
}

/// Describes a GGUF file.
///
/// # Errors
/// As [`GgufFile::open`].
pub fn describe_file(source: &dyn Source) -> Result<FolderContent> {
    let file = GgufFile::open(source)?;
    let name =
        |t: &GgufTensor| t.tensor_type.map_or_else(|| format!("type {}", t.ggml_type), |t| t.to_string());
    Ok(FolderContent::Gguf {
        parameters: file.tensors.iter().map(|t| t.shape.iter().product::<u64>()).sum(),
        tensors: file.tensors.len(),
        types: count_each(file.tensors.iter().map(name)),
        keys: file.key_values.iter().map(|pair| (pair.key.clone(), pair.text())).collect(),
    })
}

/// Distinct items with their counts, in the order of first appearance.
fn count_each<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for item in items {
        match counts.iter_mut().find(|(known, _)| *known == item) {
            Some((_, count)) => *count += 1,
            None => counts.push((item, 1)),
        }
    }
    counts
}
