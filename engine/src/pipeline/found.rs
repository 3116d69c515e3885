//! What came to light while an export was made: per tensor of the model, and per part of each file.

use super::Summary;
use super::block::Block;
use super::digest::Digest;
use super::layout::Layout;
use super::steps::Step;
use crate::model::{Effect, Model};
use crate::report::tally::Total;
use crate::{Error, Result};

/// A tensor of the model.
#[derive(Debug, Clone)]
pub(crate) struct FoundTensor {
    /// What was read of the base's tensor; `None` when the export has no use for it.
    pub(crate) base: Option<Digest>,
    pub(crate) effect: Effect,
    pub(crate) change: Total,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tensors: Vec<FoundTensor>,
    /// By file and part: the squared errors of what is stored.
    pub(crate) errors: Vec<Vec<Total>>,
}

impl Found {
    pub(super) fn new(model: &Model, files: &[Layout]) -> Self {
        let nothing = FoundTensor { base: None, effect: Effect::Untouched, change: Total::default() };
        Self {
            tensors: vec![nothing; model.tensors().len()],
            errors: files.iter().map(|file| vec![Total::default(); file.parts.len()]).collect(),
        }
    }

    pub(super) fn note(&mut self, step: &Step, block: &Block) {
        if let (Some(tensor), Some(effect)) = (step.tensor, block.effect) {
            let found = &mut self.tensors[tensor];
            found.effect = found.effect.max(effect);
            found.change.add(&block.change);
        }
        for (made, (file, part)) in block.parts.iter().zip(&step.parts) {
            self.errors[*file][*part].add(&made.error);
        }
    }

    pub(super) fn note_digests(&mut self, steps: &[Step], digests: Vec<Digest>) {
        // a tensor without elements has no block, and so no hash
        let hashed = steps.iter().filter(|step| step.units > 0).filter_map(|step| step.tensor);
        for (tensor, digest) in hashed.zip(digests) {
            self.tensors[tensor].base = Some(digest);
        }
    }

    /// Counts, and refuses a merge that did nothing where it should have done something.
    pub(super) fn judge(&self, model: &Model) -> Result<Summary> {
        let count = |wanted: Effect| self.tensors.iter().filter(|t| t.effect == wanted).count();
        let Some(adapter) = model.adapter() else {
            return Ok(Summary { pairs: 0, changed: 0, zero: 0, unchanged: self.tensors.len() });
        };
        let (changed, zero) = (count(Effect::Changed), count(Effect::Zero));
        if let Some(lost) = self.tensors.iter().position(|t| t.effect == Effect::Lost) {
            let tensor = &model.tensors()[lost];
            let dtype = tensor.info.dtype;
            let problem = format!("is unchanged by the adapter: its changes are lost in rounding to {dtype}");
            return Err(Error::tensor(model.file_of(tensor), &tensor.info.name, problem));
        }
        // where its targets are all in another file, there is nothing to change in this one
        let elsewhere = zero == 0 && adapter.modules() > 0;
        if changed == 0 && !elsewhere {
            let problem = "changes nothing: every product of its factors is zero, as before training";
            return Err(Error::invalid(adapter.location(), problem));
        }
        let unchanged = self.tensors.len() - changed - zero;
        Ok(Summary { pairs: adapter.modules(), changed, zero, unchanged })
    }
}
