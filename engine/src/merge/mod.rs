//! A checkpoint seen through an adapter: what each exported tensor is made of.

mod apply;
mod delta;
mod kernel;
mod target_names;
mod targets;
mod unrounded;

use std::sync::Arc;

pub(crate) use apply::{MergeEffect, MergeScratch};
pub(crate) use delta::CACHED;
pub(crate) use targets::is_embedding;

use crate::checkpoint::{Checkpoint, EmbeddingRows, FactorCache, ModelFiles, TensorInfo};
use crate::error::{Error, Result};
use crate::peft::{Adapter, AdapterChange, AdapterTensor, ChangeKind};

/// A base model, with or without an adapter. Making one checks that everything in the adapter has exactly one home
/// and fits it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<ModelParts>);

#[derive(Debug)]
struct ModelParts {
    base: Checkpoint,
    adapter: Option<Adapter>,
    files: ModelFiles,
    tensors: Vec<ModelTensor>,
    /// The embedding no longer serves as the head, though the base's configuration says so.
    untied: bool,
    factors: FactorCache,
}

/// A tensor of the export.
#[derive(Debug, Clone)]
pub(crate) struct ModelTensor {
    /// As it will be stored; `offset` is of the base's tensor.
    pub(crate) info: TensorInfo,
    /// The base's tensor it comes from, by its number.
    pub(crate) base: usize,
    /// What it was when training began, or has become, where the adapter brings that along.
    replaced: Option<AdapterTensor>,
    /// What is done to it, by number in the adapter.
    changes: Vec<usize>,
}

impl ModelTensor {
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
        let (base, factors) = (base.clone(), FactorCache::default());
        let (tensors, files) = (targets::untouched(&base), base.files(None));
        Self(Arc::new(ModelParts { base, adapter: None, files, tensors, untied: false, factors }))
    }

    /// The base with the adapter merged into it.
    ///
    /// # Errors
    /// [`Error::UnmatchedModules`] when parts of the adapter belong to no tensor of the base, and
    /// [`Error::InvalidTensor`] when one could belong to several or does not fit.
    pub fn with_adapter(base: &Checkpoint, adapter: &Adapter) -> Result<Self> {
        let targets::MatchedTargets { tensors, untied } = targets::find(base, adapter)?;
        let files = base.files(Some(Arc::clone(adapter.folder())));
        let (base, adapter, factors) = (base.clone(), Some(adapter.clone()), FactorCache::default());
        Ok(Self(Arc::new(ModelParts { base, adapter, files, tensors, untied, factors })))
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

    /// Its small files: the base's, with the adapter's tokenizer and chat template in front of them.
    pub(crate) fn files(&self) -> &ModelFiles {
        &self.0.files
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.tensors().iter().map(|tensor| tensor.info.bytes).sum()
    }

    /// The tensors of the export, shard by shard.
    pub(crate) fn tensors(&self) -> &[ModelTensor] {
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

    /// The token embedding, by its number.
    pub(crate) fn embedding(&self) -> Option<usize> {
        self.tensors().iter().position(|tensor| is_embedding(&tensor.info.name))
    }

    /// The rows of the token embedding.
    pub(crate) fn embedding_rows(&self) -> EmbeddingRows {
        let embedding = self.embedding().map(|number| &self.tensors()[number]);
        let stored = embedding.and_then(|tensor| tensor.info.shape.first().copied());
        EmbeddingRows { stored, resized: self.resized_vocabulary() }
    }

    /// The rows of the token embedding, if the adapter resized it.
    pub(crate) fn resized_vocabulary(&self) -> Option<u64> {
        let embedding = &self.tensors()[self.embedding()?];
        let before = self.base().tensors()[embedding.base].shape.first()?;
        embedding.info.shape.first().copied().filter(|rows| rows != before)
    }

    /// The file a tensor comes from, for error messages.
    pub(crate) fn file_of<'a>(&'a self, tensor: &'a ModelTensor) -> &'a str {
        match &tensor.replaced {
            Some(stored) => stored.location(),
            None => self.base().file_of(&self.base().tensors()[tensor.base]),
        }
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
    fn changes<'a>(&'a self, tensor: &'a ModelTensor) -> impl Iterator<Item = &'a ChangeKind> {
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
    pub(crate) fn placed(&self) -> Vec<(&AdapterChange, &ModelTensor)> {
        let all = self.adapter().map(Adapter::changes).unwrap_or_default();
        let twin = self.embedding().map(|number| &self.tensors()[number]);
        let home = |(number, module)| {
            let home = self.tensors().iter().find(|t| t.changes.contains(&number)).or(twin);
            home.map(|tensor| (module, tensor))
        };
        all.iter().enumerate().filter_map(home).collect()
    }
}
