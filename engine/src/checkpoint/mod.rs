//! A model as it lies in a folder: shards of safetensors, their headers read, not a weight touched.

mod bnb;
pub(crate) mod config;
mod factor_cache;
pub(crate) mod header;
pub(crate) mod index;
mod model_files;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use config::ModelConfig;
pub(crate) use factor_cache::FactorCache;
pub(crate) use index::INDEX;
pub(crate) use model_files::{EmbeddingRows, FileOrigin, ModelFiles};

use crate::error::{Error, Result};
use crate::io::{Folder, Source, read_optional};
use crate::numerics::Dtype;

/// The file that makes a folder an adapter and not a model.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";

/// A tensor of a [`Checkpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, as the checkpoint has it.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The shape, rows first.
    pub shape: Vec<u64>,
    /// Which of the shards holds it.
    pub(crate) shard: usize,
    /// Where its bytes begin in the shard.
    pub(crate) offset: u64,
    /// How many bytes its elements take.
    pub(crate) bytes: u64,
}

impl TensorInfo {
    /// How many elements it has.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// One safetensors file of a [`Checkpoint`].
pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Source>,
}

/// A full model: configuration and every tensor's place. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoint(Arc<OpenCheckpoint>);

struct OpenCheckpoint {
    folder: Arc<dyn Folder>,
    config: Arc<ModelConfig>,
    shards: Vec<Shard>,
    tensors: Vec<TensorInfo>,
    /// The weights that are stored in four bits, by name.
    packed: HashMap<String, bnb::PackedWeight>,
    /// Their scales.
    scales: FactorCache,
    indexed: bool,
}

impl Checkpoint {
    /// Reads `config.json`, the index where there is one, and every shard's header.
    ///
    /// # Errors
    /// When a file is missing or cannot be read; when a header lies; when index and shards disagree; when the
    /// weights are only there as a pickle (`.bin`), which this engine does not open, or quantised in another way than
    /// bitsandbytes' four bits, which are read as floats.
    pub fn open(folder: Arc<dyn Folder>) -> Result<Self> {
        let location = folder.location().to_owned();
        let Some(config) = read_optional(&*folder, "config.json")? else {
            let what = "config.json, so it is not a model".to_owned();
            return Err(Error::Missing { folder: location, what });
        };
        let config = Arc::new(ModelConfig::parse(format!("{location}/config.json"), &config)?);
        bnb::check_method(&config)?;
        let found = index::find(&*folder, "model")?;
        let mut shards = Vec::with_capacity(found.shards.len());
        let mut tensors: Vec<TensorInfo> = Vec::new();
        let mut by_name = HashMap::new();
        for (number, name) in found.shards.into_iter().enumerate() {
            let source = folder.open(&name).map_err(|e| Error::read(format!("{location}/{name}"), e))?;
            for t in header::read(&*source)? {
                if let Some(other) = by_name.insert(t.name.clone(), tensors.len()) {
                    let other: usize = other;
                    let before: &Shard = &shards[tensors[other].shard];
                    let problem = format!("is also in {}", before.name);
                    return Err(Error::tensor(source.location(), t.name, problem));
                }
                let (dtype, shape, offset, bytes) = (t.dtype, t.shape, t.offset, t.bytes);
                tensors.push(TensorInfo { name: t.name, dtype, shape, shard: number, offset, bytes });
            }
            shards.push(Shard { name, source });
        }
        let indexed = found.weight_map.is_some();
        if let Some(weight_map) = found.weight_map {
            let held: Vec<_> =
                tensors.iter().map(|t| (t.name.as_str(), shards[t.shard].name.as_str())).collect();
            index::check(&format!("{location}/{INDEX}"), &weight_map, &held)?;
        }
        let (tensors, packed) = bnb::unpack(&shards, tensors)?;
        let scales = FactorCache::default();
        Ok(Self(Arc::new(OpenCheckpoint { folder, config, shards, tensors, packed, scales, indexed })))
    }

    /// Whether a folder holds a full model and not an adapter: it has a `config.json` and no
    /// `adapter_config.json`.
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

    /// How many elements all tensors have together.
    pub fn parameters(&self) -> u64 {
        self.0.tensors.iter().map(TensorInfo::elements).sum()
    }

    pub(crate) fn folder(&self) -> &dyn Folder {
        &*self.0.folder
    }

    /// The small files of the model, with those of an adapter in front of them.
    pub(crate) fn files(&self, adapter: Option<Arc<dyn Folder>>) -> ModelFiles {
        ModelFiles::new(Arc::clone(&self.0.folder), adapter, Arc::clone(&self.0.config))
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.0.shards
    }

    /// Whether an index file names the shards.
    pub(crate) fn indexed(&self) -> bool {
        self.0.indexed
    }

    /// Where the tensor lies, for error messages.
    pub(crate) fn file_of(&self, tensor: &TensorInfo) -> &str {
        self.0.shards[tensor.shard].source.location()
    }

    /// Fills `buffer` with the tensor's bytes from `offset` within it on.
    pub(crate) fn read(&self, tensor: &TensorInfo, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if let Some(packed) = self.0.packed.get(&tensor.name) {
            let (dtype, first) = (tensor.dtype, offset / tensor.dtype.bytes());
            return packed.read(&self.0.shards, &self.0.scales, dtype, first, buffer);
        }
        let source = &self.0.shards[tensor.shard].source;
        source.read_at(tensor.offset + offset, buffer).map_err(|e| Error::read(source.location(), e))
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("location", &self.location()).finish_non_exhaustive()
    }
}
