//! A base as a GGUF file stores it, and an adapter's factors beside it, as llama.cpp applies a GGUF LoRA.

use ndarray::Array2;

use super::hparams::ModelHparams;
use super::reference_weights::ReferenceWeights;
use super::weights::WeightSource;
use crate::convert::GgufPlan;
use crate::error::Result;
use crate::merge::Model;

pub(super) struct BesideWeights {
    base: ReferenceWeights,
    fine_tuned: ReferenceWeights,
    /// The file of the base.
    plan: GgufPlan,
}

impl BesideWeights {
    pub(super) fn new(base: &Model, fine_tuned: &Model, plan: GgufPlan) -> Result<Self> {
        let (base, fine_tuned) = (ReferenceWeights::new(base)?, ReferenceWeights::new(fine_tuned)?);
        Ok(Self { base, fine_tuned, plan })
    }

    pub(super) fn hparams(&self) -> Result<ModelHparams> {
        self.fine_tuned.hparams()
    }
}

impl WeightSource for BesideWeights {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        self.fine_tuned.shape(name)
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        let base = self.base.rows(name, first, count)?;
        let change = self.fine_tuned.rows(name, first, count)? - &base;
        Ok(self.plan.as_stored(name, first as u64, base) + change)
    }

    fn location(&self) -> &str {
        self.fine_tuned.location()
    }
}
