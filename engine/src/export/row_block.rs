//! One block: read, merged, encoded, and measured against what it was.

use super::schedule::{Chunk, ReadUnit};
use crate::error::{Error, Result};
use crate::merge::{CACHED, MergeEffect, MergeScratch, Model};
use crate::numerics::half;
use crate::plan::{ExportPlan, PartContent};
use crate::report::ErrorStats;

/// What a worker makes of a chunk. Kept and used again, because new memory costs more than the arithmetic.
#[derive(Default)]
pub(super) struct RowBlock {
    /// For each part of the step.
    pub(super) parts: Vec<EncodedRows>,
    /// What the base stores.
    pub(super) base: Vec<u8>,
    pub(super) effect: Option<MergeEffect>,
    /// How far the merged values are from the base's.
    pub(super) change: ErrorStats,
}

/// A block of one part.
#[derive(Default)]
pub(super) struct EncodedRows {
    bytes: Vec<u8>,
    /// They are the base's, and not here.
    as_base: bool,
    /// How far the stored values are from the merged ones.
    pub(super) error: ErrorStats,
}

/// What a thread keeps from block to block.
#[derive(Default)]
pub(super) struct WorkerScratch {
    scratch: MergeScratch,
    merged: Vec<u8>,
    values: Vec<f32>,
}

impl RowBlock {
    pub(super) fn make(
        &mut self,
        plan: &ExportPlan,
        unit: &ReadUnit,
        chunk: &Chunk,
        scratch: &mut WorkerScratch,
    ) -> Result<()> {
        let model = &plan.model;
        self.change.clear();
        self.effect = None;
        self.parts.resize_with(unit.parts.len(), EncodedRows::default);
        if let Some(tensor) = unit.tensor {
            self.read(model, tensor, chunk, scratch)?;
        }
        for (made, (file, part)) in self.parts.iter_mut().zip(&unit.parts) {
            made.error.clear();
            made.as_base = false;
            let WorkerScratch { merged, values, .. } = scratch;
            match &plan.files[*file].parts[*part].content {
                PartContent::File(source) => {
                    made.bytes.resize(chunk.count as usize, 0);
                    let read = source.read_at(chunk.first, &mut made.bytes);
                    read.map_err(|e| Error::read(source.location(), e))?;
                }
                PartContent::Values { values, as_type, .. } => {
                    let once = as_type.bytes(values.len() as u64) as usize;
                    made.bytes.resize(once * chunk.count as usize, 0);
                    made.bytes.chunks_mut(once.max(1)).for_each(|bytes| as_type.encode(values, None, bytes));
                }
                PartContent::Stored(_) if merged.is_empty() => made.as_base = true,
                // a merged checkpoint is made alone, so nobody else needs them
                PartContent::Stored(_) => std::mem::swap(merged, &mut made.bytes),
                content @ PartContent::Encoded { tensor, .. } => {
                    let stored = if merged.is_empty() { &self.base } else { &*merged };
                    encode(model, *tensor, content, chunk.first, stored, values, made);
                }
            }
        }
        Ok(())
    }

    /// The bytes of each part.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|made| if made.as_base { &*self.base } else { &*made.bytes })
    }

    fn read(
        &mut self,
        model: &Model,
        tensor: usize,
        chunk: &Chunk,
        scratch: &mut WorkerScratch,
    ) -> Result<()> {
        let WorkerScratch { scratch, merged, .. } = scratch;
        let effect = model.read(tensor, chunk.first, chunk.count, scratch, &mut self.base, merged)?;
        let tensor = &model.tensors()[tensor];
        if effect != MergeEffect::Untouched {
            self.change.add_changes(tensor.info.dtype, tensor.row() as usize, &self.base, merged);
        }
        self.effect = Some(effect);
        Ok(())
    }
}

/// Encodes what is stored of a tensor from the element `first` on.
fn encode(
    model: &Model,
    tensor: usize,
    how: &PartContent,
    first: u64,
    stored: &[u8],
    values: &mut Vec<f32>,
    made: &mut EncodedRows,
) {
    let PartContent::Encoded { form, as_type, through_f16, importance, .. } = how else { return };
    let tensor = &model.tensors()[tensor];
    let (dtype, row) = (tensor.info.dtype, tensor.row().max(1));
    let granule = form.granule(row, tensor.info.elements()).max(1);
    let step = (CACHED as u64 / granule).max(1) * granule;
    values.resize(step as usize, 0.0);
    made.bytes.resize(as_type.bytes(stored.len() as u64 / dtype.bytes()) as usize, 0);
    let pieces = made.bytes.chunks_mut(as_type.bytes(step).max(1) as usize);
    let mut number = first / row;
    for (stored, bytes) in stored.chunks((step * dtype.bytes()) as usize).zip(pieces) {
        let values = &mut values[..stored.len() / dtype.bytes() as usize];
        let read = |values: &mut [f32]| {
            dtype.widen(stored, values);
            form.apply(dtype, row as usize, values);
        };
        read(values);
        if *through_f16 {
            values.iter_mut().for_each(|value| *value = half::through_f16(*value));
        }
        match importance {
            None => as_type.encode(values, None, bytes),
            Some(importance) => {
                let rows = bytes.chunks_exact_mut(as_type.bytes(row) as usize);
                for (values, bytes) in values.chunks_exact(row as usize).zip(rows) {
                    as_type.encode(values, Some(importance.of_row(number)), bytes);
                    number += 1;
                }
            }
        }
        if *through_f16 {
            // that rounding is part of the error
            read(values);
        }
        made.error.add_errors(*as_type, row as usize, values, bytes);
    }
}
