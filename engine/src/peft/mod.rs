//! A LoRA adapter as PEFT saves it.

mod adapter_tensor;
mod base_name;
mod config;
mod known_fields;
mod pattern;
mod state_dict;
mod target_modules;

use std::fmt;
use std::sync::Arc;

pub(crate) use adapter_tensor::AdapterTensor;
pub use base_name::sixteen_bit_name;
pub use config::AdapterConfig;
pub(crate) use config::is_in;
use config::mlx_adapter;
pub(crate) use target_modules::ModuleSpellings;

use crate::checkpoint::index::ShardFiles;
use crate::checkpoint::wrappers::without_wrappers;
use crate::checkpoint::{ADAPTER_CONFIG, header, index};
use crate::error::{Error, Result};
use crate::io::{Folder, Source, pin, read_optional};

/// The stem of the weight files.
const WEIGHTS: &str = "adapter_model";

/// The weights of an adapter of MLX.
const MLX_WEIGHTS: &str = "adapters.safetensors";

/// Whether PEFT saves an adapter's configuration or weights under this name.
#[must_use]
pub fn is_adapter_file(name: &str) -> bool {
    name == ADAPTER_CONFIG || name.strip_prefix(WEIGHTS).is_some_and(|rest| rest.starts_with(['.', '-']))
}

/// An adapter: its configuration and the changes it makes, with the offsets of their tensors. Cheap to clone.
#[derive(Clone)]
pub struct Adapter(Arc<OpenAdapter>);

struct OpenAdapter {
    folder: Arc<dyn Folder>,
    config: AdapterConfig,
    changes: Vec<AdapterChange>,
    /// The weight files, and their index.
    files: Vec<NamedSource>,
    unread: Vec<String>,
}

/// A change that the adapter makes to one tensor.
#[derive(Debug, Clone)]
pub(crate) struct AdapterChange {
    /// The tensor, by the adapter's name without `base_model.model.`.
    pub(crate) target: String,
    /// The tensor's values when training started, where the adapter has saved them.
    pub(crate) base_layer: Option<AdapterTensor>,
    pub(crate) kind: ChangeKind,
}

impl AdapterChange {
    /// The module that has the tensor.
    pub(crate) fn module(&self) -> &str {
        module_of(&self.target)
    }

    /// Whether the change is that of a LoRA layer, and not of a parameter or of values that were saved.
    pub(crate) fn is_of_layer(&self) -> bool {
        match self.kind {
            ChangeKind::LowRank { rounded, .. } => !rounded,
            ChangeKind::Embedding { .. } | ChangeKind::LoraBias { .. } => true,
            ChangeKind::ExpertLowRank { .. } | ChangeKind::TokenRows { .. } | ChangeKind::Replace(_) => false,
        }
    }
}

/// The module that has a tensor.
pub(crate) fn module_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(module, _)| module)
}

/// The kinds of changes.
#[derive(Debug, Clone)]
pub(crate) enum ChangeKind {
    /// W + scaling·B·A, with A \[rank, in\] and B \[out, rank\]. With a magnitude (DoRA), each row of the sum is then
    /// scaled to its magnitude. With `rounded`, the product is rounded to the checkpoint's type before it is added.
    LowRank {
        a: AdapterTensor,
        b: AdapterTensor,
        scaling: f32,
        magnitude: Option<AdapterTensor>,
        rounded: bool,
    },
    /// W + scaling·Bₑ·Aₑ for each expert e of a stack W \[experts, out, in\]; the product is rounded to the checkpoint's
    /// type before it is added. The rows of A \[experts · rank, in\] are ordered by expert, the columns of
    /// B \[out, rank · experts\] by rank.
    ExpertLowRank { a: AdapterTensor, b: AdapterTensor, scaling: f32, rank: u64 },
    /// W + (scaling·B·A)ᵀ, with A \[rank, tokens\] and B \[hidden, rank\]. With a magnitude (DoRA), each column of the
    /// sum is then scaled to its magnitude.
    Embedding { a: AdapterTensor, b: AdapterTensor, scaling: f32, magnitude: Option<AdapterTensor> },
    /// Replaces these rows (`trainable_token_indices`).
    TokenRows { rows: Vec<u64>, values: AdapterTensor },
    /// Replaces the tensor (`modules_to_save`).
    Replace(AdapterTensor),
    /// W + scaling·values, for a vector (`lora_bias`).
    LoraBias { values: AdapterTensor, scaling: f32 },
}

impl Adapter {
    /// Reads `adapter_config.json` and the headers of the weights, and pairs the factors.
    ///
    /// # Errors
    /// When a file is missing or malformed, when an A has no B or the ranks do not fit, and when the
    /// configuration asks for something that this engine does not apply exactly.
    pub fn open(folder: Arc<dyn Folder>) -> Result<Self> {
        let folder = pin(folder);
        let location = folder.location().to_owned();
        let missing = |what: &str| Error::Missing { folder: location.clone(), what: what.to_owned() };
        refuse_mlx_weights(&*folder)?;
        let Some(bytes) = read_optional(&*folder, ADAPTER_CONFIG)? else {
            return Err(missing(ADAPTER_CONFIG));
        };
        let config = AdapterConfig::parse(&format!("{location}/{ADAPTER_CONFIG}"), &bytes)?;
        let found = index::find_shards(&*folder, WEIGHTS)?;
        let (tensors, files) = tensors(&*folder, &found)?;
        if tensors.is_empty() {
            return Err(Error::invalid(format!("{location}/{WEIGHTS}.safetensors"), "has no tensors"));
        }
        let changes = state_dict::changes(&config, tensors)?;
        let config_file = format!("{location}/{ADAPTER_CONFIG}");
        config.check_parameters(&config_file, &changes)?;
        check_scaling(&config_file, &config, &changes)?;
        Ok(Self(Arc::new(OpenAdapter { folder, config, changes, files, unread: found.unread })))
    }

    /// The configuration.
    pub fn config(&self) -> &AdapterConfig {
        &self.0.config
    }

    /// The number of changes, each to one tensor.
    pub fn modules(&self) -> usize {
        self.0.changes.len()
    }

    /// The folder's location.
    pub fn location(&self) -> &str {
        self.0.folder.location()
    }

    /// The location of `adapter_config.json`.
    pub(crate) fn config_file(&self) -> String {
        format!("{}/{ADAPTER_CONFIG}", self.location())
    }

    pub(crate) fn folder(&self) -> &Arc<dyn Folder> {
        &self.0.folder
    }

    /// The files with weights, and their index where there is one.
    pub(crate) fn files(&self) -> &[NamedSource] {
        &self.0.files
    }

    /// The size of the files with weights in bytes.
    pub fn weight_file_bytes(&self) -> u64 {
        self.weights().map(|(_, source)| source.size()).sum()
    }

    /// The files with weights.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &NamedSource> {
        self.files().iter().filter(|(name, _)| name.ends_with(".safetensors"))
    }

    /// Files with names of weights that are not read.
    pub(crate) fn unread(&self) -> &[String] {
        &self.0.unread
    }

    pub(crate) fn changes(&self) -> &[AdapterChange] {
        &self.0.changes
    }
}

/// Refuses a folder with the weights of an adapter of MLX and none of PEFT.
fn refuse_mlx_weights(folder: &dyn Folder) -> Result<()> {
    let location = folder.location();
    let entries = folder.list().map_err(|e| Error::read(location, e))?;
    let has_weights = entries.iter().any(|entry| entry.name.starts_with(WEIGHTS));
    match entries.iter().find(|entry| entry.name == MLX_WEIGHTS) {
        Some(_) if !has_weights => Err(mlx_adapter(&format!("{location}/{MLX_WEIGHTS}"))),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an adapter whose changes are all scaled to zero: the export would equal the base.
fn check_scaling(file: &str, config: &AdapterConfig, changes: &[AdapterChange]) -> Result<()> {
    let is_zero = |change: &AdapterChange| match change.kind {
        ChangeKind::LowRank { scaling, magnitude: None, .. }
        | ChangeKind::ExpertLowRank { scaling, .. }
        | ChangeKind::Embedding { scaling, magnitude: None, .. }
        | ChangeKind::LoraBias { scaling, .. } => scaling == 0.0,
        ChangeKind::LowRank { .. }
        | ChangeKind::Embedding { .. }
        | ChangeKind::TokenRows { .. }
        | ChangeKind::Replace(_) => false,
    };
    if changes.iter().all(is_zero) {
        let field = if config.alpha == 0.0 { "lora_alpha" } else { "alpha_pattern" };
        let problem = format!(
            "has {field} 0 for every module of the adapter, which changes nothing then: set {field} to that of the training"
        );
        return Err(Error::invalid(file, problem));
    }
    Ok(())
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("location", &self.location()).finish_non_exhaustive()
    }
}

/// A file and its name in the folder.
pub(crate) type NamedSource = (String, Arc<dyn Source>);

/// Every tensor of the weights, of one file or of several shards, and the files.
fn tensors(folder: &dyn Folder, found: &ShardFiles) -> Result<(Vec<AdapterTensor>, Vec<NamedSource>)> {
    let location = folder.location();
    let open = |name: &str| folder.open(name).map_err(|e| Error::read(format!("{location}/{name}"), e));
    let (mut tensors, mut held, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for shard in &found.shards {
        let source = open(shard)?;
        for mut tensor in header::read(&*source)? {
            held.push((tensor.name.clone(), shard.as_str()));
            // changes() refuses names that are then equal
            tensor.name = without_wrappers(&tensor.name);
            tensors.push(AdapterTensor::new(&source, tensor)?);
        }
        files.push((shard.clone(), source));
    }
    if let Some(weight_map) = &found.weight_map {
        let held: Vec<_> = held.iter().map(|(tensor, shard)| (tensor.as_str(), *shard)).collect();
        let index = format!("{WEIGHTS}.safetensors.index.json");
        index::check_weight_map(&format!("{location}/{index}"), weight_map, &held)?;
        files.push((index.clone(), open(&index)?));
    }
    Ok((tensors, files))
}
