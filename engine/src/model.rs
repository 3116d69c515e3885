//! A checkpoint seen through an adapter: what each exported tensor is made of.

use std::sync::{Arc, Mutex, PoisonError};

use crate::checkpoint::{Checkpoint, Dtype, TensorInfo};
use crate::io::{Folder, Source};
use crate::lora::kernel::{self, Block};
use crate::lora::names::{Match, Names};
use crate::lora::{Adapter, Pair};
use crate::{Error, Result};

/// A base model, with or without an adapter. Making one checks that every adapter module has exactly one home and
/// fits it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    base: Checkpoint,
    adapter: Option<Adapter>,
    /// For each tensor of the base, the adapter's pair that changes it.
    changes: Vec<Option<usize>>,
    rows: RowCache,
}

impl Model {
    /// The base as it is.
    pub fn new(base: &Checkpoint) -> Self {
        let changes = vec![None; base.tensors().len()];
        Self(Arc::new(Parts { base: base.clone(), adapter: None, changes, rows: RowCache::default() }))
    }

    /// The base with the adapter merged into it.
    ///
    /// # Errors
    /// [`Error::Homeless`] when modules of the adapter belong to no tensor of the base, and
    /// [`Error::InvalidTensor`] when one could belong to several or does not fit.
    pub fn with_adapter(base: &Checkpoint, adapter: &Adapter) -> Result<Self> {
        let names = Names::new(base.tensors().iter().map(|t| t.name.as_str()));
        let mut changes = vec![None; base.tensors().len()];
        let mut homeless = Vec::new();
        for (number, pair) in adapter.pairs().iter().enumerate() {
            let weight = format!("{}.weight", pair.module);
            match names.find(&weight) {
                Match::None => homeless.push(pair.module.clone()),
                Match::One(home) => {
                    check_fit(base, &base.tensors()[home], pair)?;
                    if changes[home].replace(number).is_some() {
                        let problem =
                            format!("and another pair both belong to {}", base.tensors()[home].name);
                        return Err(Error::tensor(pair.b.location(), &pair.module, problem));
                    }
                }
                Match::Several(homes) => {
                    let homes: Vec<&str> = homes.iter().map(|i| base.tensors()[*i].name.as_str()).collect();
                    let problem = format!("could belong to any of {}", homes.join(", "));
                    return Err(Error::tensor(pair.a.location(), &pair.module, problem));
                }
            }
        }
        if !homeless.is_empty() {
            return Err(homeless_error(base, adapter, homeless));
        }
        let (base, adapter) = (base.clone(), Some(adapter.clone()));
        Ok(Self(Arc::new(Parts { base, adapter, changes, rows: RowCache::default() })))
    }

    /// The base.
    pub fn base(&self) -> &Checkpoint {
        &self.0.base
    }

    /// The adapter, if any.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.0.adapter.as_ref()
    }

    pub(crate) fn tensors(&self) -> &[TensorInfo] {
        self.0.base.tensors()
    }

    /// A small file of the export: the adapter's own where it brings one (a tokenizer with a new chat template),
    /// else the base's.
    pub(crate) fn companion(&self, name: &str) -> Result<Option<Arc<dyn Source>>> {
        let open = |folder: &dyn Folder| match folder.open(name) {
            Ok(source) => Ok(Some(source)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::read(format!("{}/{name}", folder.location()), error)),
        };
        if let Some(adapter) = self.adapter().filter(|_| from_adapter(name))
            && let Some(source) = open(adapter.folder())?
        {
            return Ok(Some(source));
        }
        open(self.base().folder())
    }

    /// Blocks of this tensor must be multiples of this many elements: whole rows where an adapter changes it.
    pub(crate) fn granule(&self, tensor: usize) -> u64 {
        match self.change(tensor) {
            Some(pair) => pair.a.columns,
            None => 1,
        }
    }

    /// The adapter's pair that changes a tensor.
    pub(crate) fn change(&self, tensor: usize) -> Option<&Pair> {
        let pair = (*self.0.changes.get(tensor)?)?;
        self.0.adapter.as_ref()?.pairs().get(pair)
    }

    /// Replaces `bytes` with `count` elements from `first` on as the merged checkpoint stores them, and says what
    /// the adapter did to them.
    pub(crate) fn read(
        &self,
        tensor: usize,
        first: u64,
        count: u64,
        scratch: &mut Scratch,
        bytes: &mut Vec<u8>,
    ) -> Result<Effect> {
        let info = &self.tensors()[tensor];
        let width = info.dtype.bytes();
        bytes.resize((count * width) as usize, 0);
        self.0.base.read(info, first * width, bytes)?;
        match self.change(tensor) {
            Some(pair) => self.apply(pair, info.dtype, first, scratch, bytes),
            None => Ok(Effect::Untouched),
        }
    }

    fn apply(
        &self,
        pair: &Pair,
        dtype: Dtype,
        first: u64,
        scratch: &mut Scratch,
        bytes: &mut [u8],
    ) -> Result<Effect> {
        let (rank, columns) = (pair.a.rows as usize, pair.a.columns as usize);
        let width = columns * dtype.bytes() as usize;
        let rows = bytes.len() / width;
        let Scratch { raw, factor, weights, merged } = scratch;
        pair.b.read_rows(first / pair.a.columns, rows as u64, raw, factor)?;
        let a = self.0.rows.get(pair)?;
        if is_zero(factor) || is_zero(&a) {
            return Ok(Effect::Zero);
        }
        let mut effect = Effect::Lost;
        // a few rows at a time, so that they are still in the cache when they are rounded
        let step = (CACHED / columns).max(1);
        for (bytes, b) in bytes.chunks_mut(step * width).zip(factor.chunks(step * rank)) {
            weights.resize(b.len() / rank * columns, 0.0);
            merged.resize(bytes.len(), 0);
            dtype.widen(bytes, weights);
            kernel::add(&Block { a: &a, b, rank, columns, scaling: pair.scaling }, weights);
            dtype.narrow(weights, merged);
            if merged != bytes {
                effect = Effect::Changed;
                bytes.copy_from_slice(merged);
            }
        }
        Ok(effect)
    }
}

/// Elements worked on at a time.
pub(crate) const CACHED: usize = 32 << 10;

/// What a thread needs while it reads; kept, because new memory costs more than the arithmetic.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    raw: Vec<u8>,
    factor: Vec<f32>,
    weights: Vec<f32>,
    merged: Vec<u8>,
}

fn is_zero(values: &[f32]) -> bool {
    values.iter().all(|v| *v == 0.0)
}

/// What an adapter did to a block of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// No pair belongs to the tensor.
    Untouched,
    /// The pair's product is exactly zero here.
    Zero,
    /// The pair's product is not zero, but too small to change the stored values.
    Lost,
    /// Stored values changed.
    Changed,
}

/// What a fine-tune may bring along; weights and configuration are the base's.
fn from_adapter(name: &str) -> bool {
    name.starts_with("tokenizer")
        || name.starts_with("chat_template")
        || name.ends_with("tokens.json")
        || name == "special_tokens_map.json"
}

fn check_fit(base: &Checkpoint, home: &TensorInfo, pair: &Pair) -> Result<()> {
    if !home.dtype.is_float() {
        let problem = format!("is {}; only F32, F16 and BF16 weights can be merged into", home.dtype);
        return Err(Error::tensor(base.file_of(home), &home.name, problem));
    }
    let delta = [pair.b.rows, pair.a.columns];
    if home.shape != delta {
        let problem = format!("makes a change of shape {delta:?}, but {} is {:?}", home.name, home.shape);
        return Err(Error::tensor(pair.b.location(), &pair.b.name, problem));
    }
    Ok(())
}

fn homeless_error(base: &Checkpoint, adapter: &Adapter, homeless: Vec<String>) -> Error {
    let head_only = homeless.iter().all(|m| m.ends_with("lm_head"));
    if head_only {
        let file = format!("{}/adapter_model.safetensors", adapter.location());
        let feature = format!("LoRA on lm_head, which {} shares with its embedding,", base.location());
        return Error::unsupported(file, feature);
    }
    Error::Homeless { modules: homeless, total: adapter.modules() }
}

/// The A factors in use: each belongs to every block of its tensor, and few tensors are in work at once.
#[derive(Debug, Default)]
struct RowCache(Mutex<Vec<(String, Arc<Vec<f32>>)>>);

impl RowCache {
    const KEPT: usize = 4;

    fn get(&self, pair: &Pair) -> Result<Arc<Vec<f32>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = kept.iter().find(|(name, _)| *name == pair.a.name) {
            return Ok(Arc::clone(rows));
        }
        let mut rows = Vec::new();
        pair.a.read_rows(0, pair.a.rows, &mut Vec::new(), &mut rows)?;
        let rows = Arc::new(rows);
        if kept.len() == Self::KEPT {
            kept.remove(0);
        }
        kept.push((pair.a.name.clone(), Arc::clone(&rows)));
        Ok(rows)
    }
}
