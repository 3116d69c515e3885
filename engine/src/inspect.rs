//! What a folder holds, from headers alone.

use std::sync::Arc;

use serde::Serialize;

use crate::io::Folder;
use crate::{Adapter, Architecture, Checkpoint, Result};

/// A folder's content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Description {
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
}

/// Reads a folder's headers.
///
/// # Errors
/// As [`Checkpoint::open`] and [`Adapter::open`].
pub fn describe(folder: Arc<dyn Folder>) -> Result<Description> {
    if Checkpoint::is_in(&*folder)? {
        return Ok(model(&Checkpoint::open(folder)?));
    }
    let adapter = Adapter::open(folder)?;
    let config = adapter.config();
    Ok(Description::Adapter {
        base_model: config.base_model.clone(),
        rank: config.rank,
        alpha: config.alpha,
        modules: adapter.modules(),
        targets: config.targets.clone(),
    })
}

fn model(checkpoint: &Checkpoint) -> Description {
    let mut dtypes: Vec<(&'static str, usize)> = Vec::new();
    for tensor in checkpoint.tensors() {
        match dtypes.iter_mut().find(|(name, _)| *name == tensor.dtype.as_str()) {
            Some((_, count)) => *count += 1,
            None => dtypes.push((tensor.dtype.as_str(), 1)),
        }
    }
    Description::Model {
        class: checkpoint.config().class().map(str::to_owned),
        architecture: Architecture::of(checkpoint.config()).ok().map(Architecture::as_str),
        parameters: checkpoint.parameters(),
        tensors: checkpoint.tensors().len(),
        dtypes,
        shards: checkpoint.shards().iter().map(|s| s.name.clone()).collect(),
    }
}
