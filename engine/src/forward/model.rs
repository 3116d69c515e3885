//! Models whose next-token distributions can be computed: a checkpoint with or without an adapter, or a GGUF file.

use std::sync::Arc;

use ndarray::Array2;

use super::added_rows::AddedRows;
use super::beside_weights::BesideWeights;
#[cfg(test)]
use super::divergence::ModelLogits;
use super::gguf_weights::GgufWeights;
use super::hidden_states::hidden_states;
use super::hparams::ModelHparams;
use super::input_sums::InputSums;
use super::kv_cache::KvCache;
use super::ops::ForwardPass;
use super::reference_weights::ReferenceWeights;
use super::weight_changes::ChangedTensor;
use super::weights::WeightSource;
use crate::convert::GgufPlan;
use crate::error::Result;
use crate::io::Source;
use crate::merge::Model;
use crate::progress::RunOptions;

pub(crate) struct ForwardModel {
    weights: Box<dyn WeightSource>,
    hparams: ModelHparams,
    /// The tensors that its adapter changes.
    changed_tensors: Vec<ChangedTensor>,
}

impl ForwardModel {
    /// A checkpoint, with its adapter applied but not rounded.
    pub(crate) fn of_model(model: &Model) -> Result<Self> {
        let weights = ReferenceWeights::new(model)?;
        let changed_tensors = weights.changed_tensors();
        Ok(Self { hparams: weights.hparams()?, changed_tensors, weights: Box::new(weights) })
    }

    /// The base that a fine-tuned model is compared with, with a row for each token of its vocabulary.
    pub(crate) fn of_base(base: &Model, fine_tuned: &Self) -> Result<Self> {
        let weights = ReferenceWeights::new(base)?;
        let hparams = weights.hparams()?;
        let weights = AddedRows::new(weights, fine_tuned.weights())?;
        Ok(Self { hparams, changed_tensors: Vec::new(), weights: Box::new(weights) })
    }

    /// A GGUF file, in all its parts.
    pub(crate) fn of_gguf(files: &[Arc<dyn Source>]) -> Result<Self> {
        let weights = GgufWeights::open(files)?;
        Ok(Self { hparams: weights.hparams()?, changed_tensors: Vec::new(), weights: Box::new(weights) })
    }

    /// The base in the file of this plan, and the adapter of `fine_tuned` beside it.
    pub(crate) fn of_adapter_beside(base: &Model, fine_tuned: &Model, plan: GgufPlan) -> Result<Self> {
        let weights = BesideWeights::new(base, fine_tuned, plan)?;
        Ok(Self { hparams: weights.hparams()?, changed_tensors: Vec::new(), weights: Box::new(weights) })
    }

    /// Whether each token is predicted from those before it alone, so that texts can be continued.
    pub(crate) fn is_causal(&self) -> bool {
        self.hparams.is_causal
    }

    /// Whether tokens are routed to experts, so that texts need different weights.
    pub(crate) fn has_experts(&self) -> bool {
        self.hparams.top_k_experts > 0
    }

    /// The most rows of a matrix of the layers.
    pub(crate) fn most_rows(&self) -> usize {
        let layers = 0..self.hparams.layers.len();
        let names =
            layers.flat_map(|layer| ["attn_q", "ffn_up"].map(|part| format!("blk.{layer}.{part}.weight")));
        names.filter_map(|name| self.weights.shape(&name)).map(|(rows, _)| rows).max().unwrap_or(0)
    }

    /// The weights, for comparisons of single tensors.
    pub(super) fn weights(&self) -> &dyn WeightSource {
        &*self.weights
    }

    pub(super) fn changed_tensors(&self) -> &[ChangedTensor] {
        &self.changed_tensors
    }

    pub(super) fn hparams(&self) -> &ModelHparams {
        &self.hparams
    }

    /// The hidden states of whole sequences, read from `weights`.
    pub(super) fn hidden_states(
        &self,
        weights: &dyn WeightSource,
        tokens: &[Vec<usize>],
        run: &RunOptions<'_>,
    ) -> Result<Array2<f32>> {
        let hparams = &self.hparams;
        let pass = ForwardPass { weights, hparams, tokens, past: &[], input_sums: None, run };
        hidden_states(&pass, &mut KvCache::of_one_pass())
    }

    /// The inputs of the layers' matrices for a sequence, with weights read from `weights`.
    pub(super) fn input_sums(
        &self,
        weights: &dyn WeightSource,
        tokens: &[usize],
        run: &RunOptions<'_>,
    ) -> Result<InputSums> {
        let sums = InputSums::default();
        let (hparams, tokens) = (&self.hparams, &[tokens.to_vec()]);
        let pass = ForwardPass { weights, hparams, tokens, past: &[], input_sums: Some(&sums), run };
        hidden_states(&pass, &mut KvCache::of_one_pass())?;
        Ok(sums)
    }

    /// All logits after each token of a sequence.
    #[cfg(test)]
    pub(crate) fn logits(&self, tokens: &[usize]) -> Array2<f32> {
        let run = RunOptions::default();
        let states = self.hidden_states(&*self.weights, &[tokens.to_vec()], &run).unwrap();
        ModelLogits::new(&*self.weights, states, &self.hparams).of_vocabulary().unwrap()
    }
}
