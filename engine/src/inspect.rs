//! What a folder holds, from headers alone.

use std::sync::Arc;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
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
        /// `config.json`'s class.
        class: Option<String>,
        /// The GGUF architecture, when this engine can export one.
        architecture: Option<&'static str>,
        /// Elements of all tensors.
        parameters: u64,
        /// How many tensors there are.
        tensors: usize,
        /// Element types and how many tensors have each.
        dtypes: Vec<(&'static str, usize)>,
        /// Files with weights.
        shards: Vec<String>,
        /// Tokenizer files.
        tokenizer: Vec<String>,
    },
    /// A LoRA adapter.
    Adapter {
        /// The model it was trained on, as the trainer named it.
        base_model: Option<String>,
        /// The rank.
        rank: u32,
        /// The scaling's numerator.
        alpha: f64,
        /// Modules it changes.
        modules: usize,
        /// What the trainer targeted.
        targets: Vec<String>,
    },
    /// A GGUF file.
    Gguf {
        /// Elements of all tensors.
        parameters: u64,
        /// How many tensors there are.
        tensors: usize,
        /// Types and how many tensors have each.
        types: Vec<(String, usize)>,
        /// Keys and their values, long lists counted.
        keys: Vec<(String, String)>,
    },
}

/// Reads a folder's headers.
///
/// # Errors
/// As [`Checkpoint::open`] and [`Adapter::open`].
pub fn describe(folder: Arc<dyn Folder>) -> Result<FolderContent> {
    if Checkpoint::is_in(&*folder)? {
        return model(&Checkpoint::open(folder)?);
    }
    let adapter = Adapter::open(folder)?;
    let config = adapter.config();
    Ok(FolderContent::Adapter {
        base_model: config.base_model.clone(),
        rank: config.rank,
        alpha: config.alpha,
        modules: adapter.modules(),
        targets: config.targets.clone(),
    })
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
        dtypes: counted(checkpoint.tensors().iter().map(|t| t.dtype.as_str())),
        shards: checkpoint.shards().iter().map(|s| s.name.clone()).collect(),
        tokenizer,
    })
}

/// Reads a GGUF file's head.
///
/// # Errors
/// As [`GgufFile::open`].
pub fn describe_file(source: &dyn Source) -> Result<FolderContent> {
    let file = GgufFile::open(source)?;
    let name = |t: &GgufTensor| t.stored.map_or_else(|| format!("type {}", t.code), |s| s.to_string());
    Ok(FolderContent::Gguf {
        parameters: file.tensors.iter().map(|t| t.shape.iter().product::<u64>()).sum(),
        tensors: file.tensors.len(),
        types: counted(file.tensors.iter().map(name)),
        keys: file.keys.iter().map(|k| (k.name.clone(), k.text())).collect(),
    })
}

/// Each different item and how often it comes, in the order of first appearance.
fn counted<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for item in items {
        match counts.iter_mut().find(|(known, _)| *known == item) {
            Some((_, count)) => *count += 1,
            None => counts.push((item, 1)),
        }
    }
    counts
}
