//! A checkpoint seen through an adapter: what each exported tensor is made of.

mod apply;
mod homes;
mod product;
mod unrounded;

use std::sync::Arc;

pub(crate) use apply::{Effect, Scratch};
pub(crate) use product::CACHED;

use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::io::{Folder, Source};
use crate::kept::Kept;
use crate::lora::{Adapter, Change, Module, Stored};
use crate::{Error, Result};

/// A base model, with or without an adapter. Making one checks that everything in the adapter has exactly one home
/// and fits it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    base: Checkpoint,
    adapter: Option<Adapter>,
    tensors: Vec<Tensor>,
    /// The embedding no longer serves as the head, though the base's configuration says so.
    untied: bool,
    factors: Kept,
}

/// A tensor of the export.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    /// As it will be stored; `offset` is of the base's tensor.
    pub(crate) info: TensorInfo,
    /// The base's tensor it comes from, by its number.
    pub(crate) base: usize,
    /// What it was when training began, or has become, where the adapter brings that along.
    replaced: Option<Stored>,
    /// What is done to it, by number in the adapter.
    changes: Vec<usize>,
}

impl Tensor {
    /// The length of a row.
    pub(crate) fn row(&self) -> u64 {
        self.info.shape.last().copied().unwrap_or(1)
    }

    /// Whether anything of the adapter belongs to it.
    pub(crate) fn is_target(&self) -> bool {
        self.replaced.is_some() || !self.changes.is_empty()
    }
}

impl Model {
    /// The base as it is.
    pub fn new(base: &Checkpoint) -> Self {
        let (base, factors) = (base.clone(), Kept::default());
        let tensors = homes::untouched(&base);
        Self(Arc::new(Parts { base, adapter: None, tensors, untied: false, factors }))
    }

    /// The base with the adapter merged into it.
    ///
    /// # Errors
    /// [`Error::Homeless`] when parts of the adapter belong to no tensor of the base, and
    /// [`Error::InvalidTensor`] when one could belong to several or does not fit.
    pub fn with_adapter(base: &Checkpoint, adapter: &Adapter) -> Result<Self> {
        let homes::Homes { tensors, untied } = homes::find(base, adapter)?;
        let (base, adapter, factors) = (base.clone(), Some(adapter.clone()), Kept::default());
        Ok(Self(Arc::new(Parts { base, adapter, tensors, untied, factors })))
    }

    /// Whether both are the same, and not only alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The base.
    pub fn base(&self) -> &Checkpoint {
        &self.0.base
    }

    /// The adapter, if any.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.0.adapter.as_ref()
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.tensors().iter().map(|tensor| tensor.info.bytes).sum()
    }

    /// The tensors of the export, shard by shard.
    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.0.tensors
    }

    /// A number of layers that no checkpoint of this size could have is a lie that would cost memory.
    pub(crate) fn check_layers(&self) -> Result<()> {
        let config = self.base().config();
        let (layers, tensors) = (config.u32("num_hidden_layers")?.unwrap_or(0), self.tensors().len());
        if layers as usize > tensors {
            let problem = format!("says num_hidden_layers is {layers}, but there are {tensors} tensors");
            return Err(Error::invalid(config.file(), problem));
        }
        Ok(())
    }

    /// Whether the configuration must say that embedding and head are two tensors.
    pub(crate) fn untied(&self) -> bool {
        self.0.untied
    }

    /// The number of rows of the embedding, if the adapter resized it.
    pub(crate) fn resized_vocabulary(&self) -> Option<u64> {
        let embedding = self.tensors().iter().find(|t| homes::is_embedding(&t.info.name))?;
        let before = self.base().tensors()[embedding.base].shape.first()?;
        embedding.info.shape.first().copied().filter(|rows| rows != before)
    }

    /// The file a tensor comes from, for error messages.
    pub(crate) fn file_of<'a>(&'a self, tensor: &'a Tensor) -> &'a str {
        match &tensor.replaced {
            Some(stored) => stored.location(),
            None => self.base().file_of(&self.base().tensors()[tensor.base]),
        }
    }

    /// A small file of the export: the adapter's own where it brings one (a tokenizer with a new chat template),
    /// else the base's.
    pub(crate) fn companion(&self, name: &str) -> Result<Option<Arc<dyn Source>>> {
        Ok(self.companion_of(name)?.map(|(_, source)| source))
    }

    /// The same, and whether it is the adapter's.
    pub(crate) fn companion_of(&self, name: &str) -> Result<Option<(bool, Arc<dyn Source>)>> {
        let open = |folder: &dyn Folder| match folder.open(name) {
            Ok(source) => Ok(Some(source)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::read(format!("{}/{name}", folder.location()), error)),
        };
        if let Some(adapter) = self.adapter().filter(|_| from_adapter(name))
            && let Some(source) = open(adapter.folder())?
        {
            return Ok(Some((true, source)));
        }
        Ok(open(self.base().folder())?.map(|source| (false, source)))
    }

    /// Whether the adapter changes a tensor.
    pub(crate) fn is_changed(&self, tensor: usize) -> bool {
        !self.tensors()[tensor].changes.is_empty()
    }

    /// Where each part of the adapter belongs: tensors by name, parts by number.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tensors().iter().flat_map(|t| t.changes.iter().map(|change| (t.info.name.as_str(), *change)))
    }

    /// The changes to a tensor.
    fn changes<'a>(&'a self, tensor: &'a Tensor) -> impl Iterator<Item = &'a Change> {
        let all = self.adapter().map(Adapter::changes).unwrap_or_default();
        tensor.changes.iter().filter_map(|i| all.get(*i)).map(|module| &module.change)
    }

    /// Blocks of this tensor must be multiples of this many elements: whole rows where an adapter changes it.
    pub(crate) fn granule(&self, tensor: usize) -> u64 {
        let tensor = &self.tensors()[tensor];
        if tensor.is_target() { tensor.row() } else { 1 }
    }

    /// What the adapter does and to which tensors, in the adapter's order. A change to a head that stayed one with its
    /// embedding is the embedding's.
    pub(crate) fn placed(&self) -> Vec<(&Module, &Tensor)> {
        let all = self.adapter().map(Adapter::changes).unwrap_or_default();
        let twin = self.tensors().iter().find(|t| homes::is_embedding(&t.info.name));
        let home = |(number, module)| {
            let home = self.tensors().iter().find(|t| t.changes.contains(&number)).or(twin);
            home.map(|tensor| (module, tensor))
        };
        all.iter().enumerate().filter_map(home).collect()
    }
}

/// What a fine-tune may bring along; weights and configuration are the base's.
fn from_adapter(name: &str) -> bool {
    name.starts_with("tokenizer")
        || name.starts_with("chat_template")
        || name == "added_tokens.json"
        || name == "special_tokens_map.json"
}
