//! Measurements of an export by tensor and by part of a file, and the check that the adapter had an effect.

use serde::{Deserialize, Serialize};

use super::digest::TensorDigest;
use super::row_block::RowBlock;
use super::schedule::ReadUnit;
use super::unit_record::UnitRecord;
use crate::error::{Error, Result};
use crate::merge::{MergeEffect, Model, NO_EFFECT};
use crate::plan::ExportPlan;
use crate::report::ErrorTotal;

/// The measurements of a tensor of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TensorStats {
    /// The bytes read of the base's tensor; `None` when the export does not use it.
    pub(super) base: Option<TensorDigest>,
    pub(super) effect: MergeEffect,
    pub(super) change: ErrorTotal,
}

/// The measurements of a pass.
#[derive(Debug)]
pub(super) struct ExportStats {
    pub(super) tensors: Vec<TensorStats>,
    /// By file and part: the squared errors of the stored values.
    pub(super) errors: Vec<Vec<ErrorTotal>>,
}

impl ExportStats {
    pub(super) fn new(plan: &ExportPlan) -> Self {
        let unmeasured =
            TensorStats { base: None, effect: MergeEffect::Untouched, change: ErrorTotal::default() };
        Self {
            tensors: vec![unmeasured; plan.model.tensors().len()],
            errors: plan.files.iter().map(|file| vec![ErrorTotal::default(); file.parts.len()]).collect(),
        }
    }

    pub(super) fn add(&mut self, unit: &ReadUnit, block: &RowBlock) {
        if let (Some(tensor), Some(effect)) = (unit.tensor, block.effect) {
            let stats = &mut self.tensors[tensor];
            stats.effect = stats.effect.max(effect);
            stats.change.add(&block.change);
        }
        for (rows, (file, part)) in block.parts.iter().zip(&unit.parts) {
            self.errors[*file][*part].add(&rows.error);
        }
    }

    /// The measurements after a unit, of its tensor and its parts. The tensor's hash is missing.
    pub(super) fn of_unit(&self, unit: &ReadUnit) -> (Option<TensorStats>, Vec<ErrorTotal>) {
        let errors = unit.parts.iter().map(|(file, part)| self.errors[*file][*part]);
        (unit.tensor.map(|tensor| self.tensors[tensor].clone()), errors.collect())
    }

    /// Sets the measurements after a unit.
    pub(super) fn set_unit(&mut self, unit: &ReadUnit, record: &UnitRecord) {
        if let (Some(number), Some(tensor)) = (unit.tensor, &record.tensor) {
            self.tensors[number].clone_from(tensor);
        }
        for (error, (file, part)) in record.errors.iter().zip(&unit.parts) {
            self.errors[*file][*part] = *error;
        }
    }

    /// The number of tensors on which the adapter had this effect.
    pub(super) fn count(&self, effect: MergeEffect) -> usize {
        self.tensors.iter().filter(|tensor| tensor.effect == effect).count()
    }

    /// Refuses a merge whose change is lost, in one tensor or in all.
    pub(super) fn check_effect(&self, model: &Model) -> Result<()> {
        let Some(adapter) = model.adapter() else { return Ok(()) };
        if let Some(lost) = self.tensors.iter().position(|t| t.effect == MergeEffect::Lost) {
            let tensor = &model.tensors()[lost];
            let dtype = tensor.info.dtype;
            let problem = format!("is unchanged by the adapter: its changes are lost in rounding to {dtype}");
            return Err(Error::tensor(model.file_of(tensor), &tensor.info.name, problem));
        }
        // with all targets in another file, this one stays unchanged
        let elsewhere = self.count(MergeEffect::Zero) == 0 && adapter.modules() > 0;
        if self.count(MergeEffect::Changed) == 0 && !elsewhere {
            return Err(Error::invalid(adapter.location(), NO_EFFECT));
        }
        Ok(())
    }
}
