//! Checkpoints of transformers: `config.json` and safetensors shards. Opening one reads headers, not weights.

mod bnb;
mod companions;
pub(crate) mod config;
mod config_field;
mod factor_cache;
pub(crate) mod header;
pub(crate) mod index;
mod model_files;
mod tokenizer_origins;
pub(crate) mod wrappers;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

pub use companions::{companion_files, is_companion, is_tokenizer_file};
pub use config::ModelConfig;
pub(crate) use config_field::ConfigField;
pub(crate) use factor_cache::FactorCache;
pub(crate) use index::INDEX_FILE;
pub use index::is_model_weights;
use kernels::numerics::Dtype;
pub(crate) use model_files::{EmbeddingRows, FileOrigin, ModelFiles, SmallFile};
pub(crate) use tokenizer_origins::TEMPLATE_FOLDER;
use wrappers::{has_wrappers, without_wrappers};

use crate::error::{Error, Result};
use crate::io::{Folder, SharedReads, Source, pin, read_optional};

/// A folder with this file is an adapter, not a model.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";

/// A tensor of a [`Checkpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the checkpoint.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The shape, rows first.
    pub shape: Vec<u64>,
    /// The index of its shard.
    pub(crate) shard: usize,
    /// The position of its first byte in the shard.
    pub(crate) offset: u64,
    /// The length in bytes.
    pub(crate) bytes: u64,
}

impl TensorInfo {
    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// One safetensors file of a [`Checkpoint`].
pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Source>,
    /// The hash of the header that was read.
    pub(crate) header_sha256: String,
}

/// A full model: its configuration and the infos of its tensors. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoint(Arc<CheckpointInner>);

struct CheckpointInner {
    folder: Arc<dyn Folder>,
    config: Arc<ModelConfig>,
    shards: Vec<Shard>,
    tensors: Vec<TensorInfo>,
    /// The 4-bit weights by name.
    packed: Arc<HashMap<String, bnb::PackedWeight>>,
    /// The scales of 4-bit weights.
    scales: FactorCache,
    has_index: bool,
    unread: Vec<String>,
}

impl Checkpoint {
    /// Reads `config.json`, the shard index if there is one, and the header of every shard. 4-bit weights of bitsandbytes
    /// become float tensors.
    ///
    /// # Errors
    /// When a file is missing or cannot be read; when a header is invalid; when index and shards disagree; when the
    /// weights are pickles (`.bin`) or quantized with another method than bitsandbytes in 4 bits.
    pub fn open(folder: Arc<dyn Folder>) -> Result<Self> {
        let folder = pin(folder);
        let location = folder.location().to_owned();
        let Some(config) = read_optional(&*folder, "config.json")? else {
            let entries = folder.list().map_err(|e| Error::read(&location, e))?;
            let has = |is: &dyn Fn(&str) -> bool| entries.iter().any(|entry| is(&entry.name));
            let hint = if has(&|name| name == ADAPTER_CONFIG) {
                "it is an adapter, not a model"
            } else if has(&|name| name.ends_with(".gguf")) {
                "GGUF files cannot be exported again"
            } else {
                "is it a model?"
            };
            return Err(Error::Missing { folder: location, what: format!("config.json: {hint}") });
        };
        let config = Arc::new(ModelConfig::parse(format!("{location}/config.json"), &config)?);
        bnb::check_method(&config)?;
        let files = index::find_shards(&*folder, "model")?;
        let mut shards = Vec::with_capacity(files.shards.len());
        let mut tensors: Vec<TensorInfo> = Vec::new();
        let mut by_name = HashMap::new();
        for (number, name) in files.shards.into_iter().enumerate() {
            let source = folder.open(&name).map_err(|e| Error::read(format!("{location}/{name}"), e))?;
            let (header, header_sha256) = header::read_hashed(&*source)?;
            for t in header {
                if let Some(other) = by_name.insert(t.name.clone(), tensors.len()) {
                    let other: usize = other;
                    let before: &Shard = &shards[tensors[other].shard];
                    let problem = format!("is also in {}", before.name);
                    return Err(Error::tensor(source.location(), t.name, problem));
                }
                let (dtype, shape, offset, bytes) = (t.dtype, t.shape, t.offset, t.bytes);
                tensors.push(TensorInfo { name: t.name, dtype, shape, shard: number, offset, bytes });
            }
            shards.push(Shard { name, source, header_sha256 });
        }
        let (has_index, unread) = (files.weight_map.is_some(), files.unread);
        if let Some(weight_map) = files.weight_map {
            let stored: Vec<_> =
                tensors.iter().map(|t| (t.name.as_str(), shards[t.shard].name.as_str())).collect();
            index::check_weight_map(&format!("{location}/{INDEX_FILE}"), &weight_map, &stored)?;
        }
        rename_wrapped(&shards, &mut tensors)?;
        let (tensors, packed) = bnb::unpack_tensors(&shards, tensors)?;
        let (packed, scales) = (Arc::new(packed), FactorCache::default());
        let inner = CheckpointInner { folder, config, shards, tensors, packed, scales, has_index, unread };
        Ok(Self(Arc::new(inner)))
    }

    /// Whether a folder has a full model and not an adapter: a `config.json` and no `adapter_config.json`.
    ///
    /// # Errors
    /// [`Error::Read`] when the folder cannot be listed.
    pub fn is_in(folder: &dyn Folder) -> Result<bool> {
        let entries = folder.list().map_err(|e| Error::read(folder.location(), e))?;
        let has = |name| entries.iter().any(|e| e.name == name);
        Ok(has("config.json") && !has(ADAPTER_CONFIG))
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    /// Every tensor, shard by shard, in the order of their bytes.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.0.tensors
    }

    /// The folder's location.
    pub fn location(&self) -> &str {
        self.0.folder.location()
    }

    /// The number of elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.0.tensors.iter().map(TensorInfo::elements).sum()
    }

    /// The same checkpoint for several readers that read the same weights at about the same time: each range is read once.
    pub(crate) fn with_shared_reads(&self, readers: usize) -> Self {
        let reads = SharedReads::between(readers);
        let shard = |(number, shard): (usize, &Shard)| Shard {
            name: shard.name.clone(),
            source: reads.source(number, Arc::clone(&shard.source)),
            header_sha256: shard.header_sha256.clone(),
        };
        Self(Arc::new(CheckpointInner {
            folder: Arc::clone(&self.0.folder),
            config: Arc::clone(&self.0.config),
            shards: self.0.shards.iter().enumerate().map(shard).collect(),
            tensors: self.0.tensors.clone(),
            packed: Arc::clone(&self.0.packed),
            scales: FactorCache::default(),
            has_index: self.0.has_index,
            unread: self.0.unread.clone(),
        }))
    }

    /// Refuses tensors without elements, which DeepSpeed ZeRO-3 saves when it does not gather the weights.
    pub(crate) fn check_not_empty(&self) -> Result<()> {
        match self.0.tensors.iter().find(|tensor| tensor.elements() == 0) {
            Some(tensor) => {
                let problem = format!(
                    "has the shape {:?}, so no weights: it was probably saved by DeepSpeed ZeRO-3 without gathering \
                     (stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py)",
                    tensor.shape
                );
                Err(Error::tensor(self.file_of(tensor), &tensor.name, problem))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn folder(&self) -> &dyn Folder {
        &*self.0.folder
    }

    /// The small files of the model; those of the adapter replace them.
    pub(crate) fn files(&self, adapter: Option<Arc<dyn Folder>>) -> ModelFiles {
        ModelFiles::new(Arc::clone(&self.0.folder), adapter, Arc::clone(&self.0.config))
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.0.shards
    }

    /// Whether the checkpoint has a shard index.
    pub(crate) fn has_index(&self) -> bool {
        self.0.has_index
    }

    /// Files with names of weights that are not read.
    pub(crate) fn unread(&self) -> &[String] {
        &self.0.unread
    }

    /// The location of a tensor's shard, for error messages.
    pub(crate) fn file_of(&self, tensor: &TensorInfo) -> &str {
        self.0.shards[tensor.shard].source.location()
    }

    /// Fills `buffer` with the tensor's bytes from byte `offset` on.
    pub(crate) fn read(&self, tensor: &TensorInfo, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if let Some(packed) = self.0.packed.get(&tensor.name) {
            return packed.read(&self.0.shards, &self.0.scales, offset / tensor.dtype.bytes(), buffer);
        }
        let source = &self.0.shards[tensor.shard].source;
        source.read_at(tensor.offset + offset, buffer).map_err(|e| Error::read(source.location(), e))
    }
}

/// Gives the tensors of a model that was saved inside of a wrapper the names of the model itself.
fn rename_wrapped(shards: &[Shard], tensors: &mut [TensorInfo]) -> Result<()> {
    if !tensors.iter().any(|tensor| has_wrappers(&tensor.name)) {
        return Ok(());
    }
    let mut names = HashSet::new();
    for tensor in tensors {
        let name = without_wrappers(&tensor.name);
        if !names.insert(name.clone()) {
            let file = shards[tensor.shard].source.location();
            return Err(Error::tensor(file, &tensor.name, format!("is also stored as {name}")));
        }
        tensor.name = name;
    }
    Ok(())
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("location", &self.location()).finish_non_exhaustive()
    }
}
