//! A base model with an adapter merged into it, computed chunk by chunk: which tensor each change targets, and PEFT's
//! arithmetic.

mod apply;
mod delta;
mod effect;
mod experts;
mod missing_factors;
mod target_names;
mod targets;
mod unrounded;

use std::sync::Arc;

pub(crate) use apply::{ElementRange, MergeScratch, MergedChunk};
pub(crate) use delta::CACHE_ELEMENTS;
pub(crate) use effect::{MergeEffect, NO_EFFECT};
pub(crate) use targets::is_zero;

use crate::checkpoint::{Checkpoint, EmbeddingRows, FactorCache, ModelFiles, TensorInfo};
use crate::error::{Error, Result};
use crate::gemma::{Architecture, is_lm_head, is_token_embedding};
use crate::peft::{Adapter, AdapterChange, AdapterTensor, ChangeKind};
use crate::tokenizer::{TokenizerChange, TokenizerInput};

/// A base model, with or without an adapter. Every change of the adapter matches exactly one tensor and fits its shape.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<ModelParts>);

#[derive(Debug, Clone)]
struct ModelParts {
    base: Checkpoint,
    adapter: Option<Adapter>,
    files: ModelFiles,
    tokenizer_change: TokenizerChange,
    tensors: Vec<ModelTensor>,
    /// The lm_head is a tensor of its own, although the base's configuration ties it to the embedding.
    untied: bool,
    /// Modules of the adapter that the base lacks and whose change is zero.
    dropped: Vec<String>,
    /// Modules of the adapter that its configuration does not target.
    untargeted: Vec<String>,
    /// Names in `modules_to_save` that neither the base nor the adapter has.
    absent_saved: Vec<String>,
    /// Modules that the adapter's configuration targets and for which it has no factors.
    missing_factors: Vec<String>,
    /// The right factors in use.
    factors: Arc<FactorCache>,
}

/// A tensor of the merged model.
#[derive(Debug, Clone)]
pub(crate) struct ModelTensor {
    /// As it is stored after the merge; `offset` is the base tensor's.
    pub(crate) info: TensorInfo,
    /// The number of the base tensor it is made from.
    pub(crate) base: usize,
    /// The adapter's values in place of the base's: those at the start of training, or those after it.
    replaced: Option<AdapterTensor>,
    /// The changes to it, by their numbers in the adapter.
    changes: Vec<usize>,
}

impl ModelTensor {
    /// Elements in a row.
    pub(crate) fn row_length(&self) -> u64 {
        self.info.shape.last().copied().unwrap_or(1)
    }

    /// Whether the adapter changes it.
    pub(crate) fn is_target(&self) -> bool {
        self.replaced.is_some() || !self.changes.is_empty()
    }
}

impl Model {
    /// The base without an adapter.
    pub fn new(base: &Checkpoint) -> Self {
        let (base, factors) = (base.clone(), Arc::default());
        let (tensors, files) = (targets::untouched(&base), base.files(None));
        Self(Arc::new(ModelParts {
            base,
            adapter: None,
            files,
            tokenizer_change: TokenizerChange::default(),
            tensors,
            untied: false,
            dropped: Vec::new(),
            untargeted: Vec::new(),
            absent_saved: Vec::new(),
            missing_factors: Vec::new(),
            factors,
        }))
    }

    /// The base with the adapter merged into it.
    ///
    /// # Errors
    /// [`Error::UnmatchedModules`] when modules of the adapter match no tensor of the base, and
    /// [`Error::InvalidTensor`] when one matches several or its shape does not fit.
    pub fn with_adapter(base: &Checkpoint, adapter: &Adapter) -> Result<Self> {
        base.check_not_empty()?;
        let targets::MatchedTargets { tensors, untied, dropped, untargeted, absent_saved, missing_factors } =
            targets::find(base, adapter)?;
        let files = base.files(Some(Arc::clone(adapter.folder())));
        let (base, adapter, factors) = (base.clone(), Some(adapter.clone()), Arc::default());
        Self(Arc::new(ModelParts {
            base,
            adapter,
            files,
            tokenizer_change: TokenizerChange::default(),
            tensors,
            untied,
            dropped,
            untargeted,
            absent_saved,
            missing_factors,
            factors,
        }))
        .with_whole_vocabulary()
    }

    /// With the base's vocabulary where the adapter's only lacks tokens of it.
    fn with_whole_vocabulary(self) -> Result<Self> {
        // a family that is not known has no tokenizer that is; a drafter has that of the model it drafts for
        let Some(architecture) = Architecture::of(self.base().config())
            .ok()
            .filter(|architecture| *architecture != Architecture::Gemma4Dspark)
        else {
            return Ok(self);
        };
        let base = Self::new(self.base());
        let [before, after] =
            [&base, &self].map(|model| TokenizerInput { files: model.files(), rows: model.embedding_rows() });
        let (tokenizer_change, files) = TokenizerChange::of(before, after, architecture)?;
        let parts = Arc::unwrap_or_clone(self.0);
        let files = files.unwrap_or_else(|| parts.files.clone());
        Ok(Self(Arc::new(ModelParts { files, tokenizer_change, ..parts })))
    }

    /// The base alone and the merged model for that many readers, which read the base's weights once where they read the same at
    /// about the same time.
    pub(crate) fn with_base_beside(&self, readers: usize) -> (Self, Self) {
        let merged = self.with_shared_reads(readers);
        (Self::new(merged.base()), merged)
    }

    /// The same model for several readers that read the same weights at about the same time.
    pub(crate) fn with_shared_reads(&self, readers: usize) -> Self {
        let base = self.base().with_shared_reads(readers);
        Self(Arc::new(ModelParts { base, factors: Arc::default(), ..(*self.0).clone() }))
    }

    /// Whether both are clones of one model.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The base.
    pub fn base(&self) -> &Checkpoint {
        &self.0.base
    }

    /// Whether the base's configuration has vision encoders. Whether they can be converted is another question:
    /// [`GgufPlan::mmproj`](crate::GgufPlan::mmproj).
    ///
    /// # Errors
    /// [`Error::Invalid`] if `vision_config` is no object.
    pub fn has_encoders(&self) -> Result<bool> {
        Ok(self.base().config().section("vision_config")?.is_some())
    }

    /// The adapter, if any.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.0.adapter.as_ref()
    }

    /// Its small files: the base's, with the adapter's tokenizer and chat template in front of them.
    pub(crate) fn files(&self) -> &ModelFiles {
        &self.0.files
    }

    /// What the adapter changes of the base's tokenizer.
    pub(crate) fn tokenizer_change(&self) -> &TokenizerChange {
        &self.0.tokenizer_change
    }

    /// The size of its weights in bytes.
    pub fn bytes(&self) -> u64 {
        self.tensors().iter().map(|tensor| tensor.info.bytes).sum()
    }

    /// Its tensors, shard by shard.
    pub(crate) fn tensors(&self) -> &[ModelTensor] {
        &self.0.tensors
    }

    /// Refuses a number of layers larger than the number of tensors, before memory is allocated for it.
    pub(crate) fn check_layers(&self) -> Result<()> {
        let config = self.base().config();
        let (layers, tensors) = (config.u32("num_hidden_layers")?.unwrap_or(0), self.tensors().len());
        if layers as usize > tensors {
            let problem =
                format!("has num_hidden_layers {layers}, but the checkpoint has only {tensors} tensors");
            return Err(Error::invalid(config.file(), problem));
        }
        Ok(())
    }

    /// Whether embedding and lm_head are two tensors with different values although the base's configuration ties them, so
    /// that the configuration must change: the merge made them differ, or the base stores them so.
    pub(crate) fn untied(&self) -> Result<bool> {
        if self.0.untied {
            return Ok(true);
        }
        let lm_head = self.tensors().iter().position(|tensor| is_lm_head(&tensor.info.name));
        match (lm_head, self.embedding()) {
            (Some(lm_head), Some(embedding)) if self.base().config().ties_embeddings()? => {
                Ok(!self.same_values(lm_head, embedding)?)
            }
            _ => Ok(false),
        }
    }

    /// Modules of the adapter that the base lacks. Their change is exactly zero, so it is left out.
    pub fn dropped_modules(&self) -> &[String] {
        &self.0.dropped
    }

    /// Modules of the adapter that its configuration does not target. PEFT ignores their factors, so they are left out.
    pub fn untargeted_modules(&self) -> &[String] {
        &self.0.untargeted
    }

    /// Names in `modules_to_save` that neither the base nor the adapter has. PEFT ignores them.
    pub(crate) fn absent_saved_modules(&self) -> &[String] {
        &self.0.absent_saved
    }

    /// Modules of the base that the adapter's configuration targets and for which the adapter has no factors, so that they stay
    /// as they are.
    pub(crate) fn missing_factors(&self) -> &[String] {
        &self.0.missing_factors
    }

    /// The token embedding, by its number.
    pub(crate) fn embedding(&self) -> Option<usize> {
        self.tensors().iter().position(|tensor| is_token_embedding(&tensor.info.name))
    }

    /// Whether two tensors are equal after the merge, byte for byte.
    pub(crate) fn same_values(&self, one: usize, other: usize) -> Result<bool> {
        const STEP: u64 = 1 << 20;
        let (a, b) = (&self.tensors()[one].info, &self.tensors()[other].info);
        if (a.dtype, &a.shape) != (b.dtype, &b.shape) {
            return Ok(false);
        }
        let multiple = self.chunk_multiple(one).max(self.chunk_multiple(other));
        let step = (STEP / multiple).max(1) * multiple;
        // the export refuses NaN and infinity; the comparison is of bytes
        let mut scratch = MergeScratch::with_non_finite();
        let (mut of_one, mut of_other) = (MergedChunk::default(), MergedChunk::default());
        let mut first = 0;
        while first < a.elements() {
            let count = step.min(a.elements() - first);
            self.read(ElementRange { tensor: one, first, count }, &mut scratch, &mut of_one)?;
            self.read(ElementRange { tensor: other, first, count }, &mut scratch, &mut of_other)?;
            if of_one.stored() != of_other.stored() {
                return Ok(false);
            }
            first += count;
        }
        Ok(true)
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

    /// The name of each target tensor with the number of the change to it.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tensors().iter().flat_map(|t| t.changes.iter().map(|change| (t.info.name.as_str(), *change)))
    }

    /// The changes to a tensor.
    fn changes<'a>(&'a self, tensor: &'a ModelTensor) -> impl Iterator<Item = &'a ChangeKind> {
        let all = self.adapter().map(Adapter::changes).unwrap_or_default();
        tensor.changes.iter().filter_map(|i| all.get(*i)).map(|change| &change.kind)
    }

    /// Chunks of this tensor are multiples of this many elements: whole rows where an adapter changes it.
    pub(crate) fn chunk_multiple(&self, tensor: usize) -> u64 {
        let tensor = &self.tensors()[tensor];
        if tensor.is_target() { tensor.row_length() } else { 1 }
    }

    /// Every change of the adapter with its target, in the adapter's order. A change to an lm_head that stays tied to
    /// the embedding has the embedding as its target; those that are left out have none.
    pub(crate) fn matched_changes(&self) -> Vec<(&AdapterChange, &ModelTensor)> {
        let all = self.adapter().map(Adapter::changes).unwrap_or_default();
        let tied = self.embedding().map(|number| &self.tensors()[number]);
        let matched = |(number, change)| {
            let target = self.tensors().iter().find(|t| t.changes.contains(&number)).or(tied);
            target.map(|tensor| (change, tensor))
        };
        let is_left_out = |change: &AdapterChange| {
            [&self.0.dropped, &self.0.untargeted].iter().any(|modules| modules.contains(&change.target))
        };
        let kept = all.iter().enumerate().filter(|(_, change)| !is_left_out(change));
        kept.filter_map(matched).collect()
    }
}
