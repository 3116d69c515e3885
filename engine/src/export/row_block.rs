//! One row block: read, merged, encoded, and measured.

use kernels::numerics::{TensorTransform, half};
use kernels::quant::{ColumnImportance, LARGEST_QUANTIZED, TensorType};
use kernels::resize;

use super::schedule::{Chunk, ReadUnit};
use crate::error::{Error, Result};
use crate::merge::{CACHE_ELEMENTS, ElementRange, MergeEffect, MergeScratch, MergedChunk, Model};
use crate::plan::{ExportPlan, PartContent};
use crate::report::ErrorStats;

/// The bytes of a chunk in each output file. Reused, because allocation costs more than the arithmetic.
#[derive(Default)]
pub(super) struct RowBlock {
    /// One for each part of the unit.
    pub(super) parts: Vec<EncodedRows>,
    /// The bytes of the base.
    pub(super) base: Vec<u8>,
    pub(super) effect: Option<MergeEffect>,
    /// Differences between merged and base values.
    pub(super) change: ErrorStats,
}

/// The bytes of a chunk in one part of an output file.
#[derive(Default)]
pub(super) struct EncodedRows {
    bytes: Vec<u8>,
    /// The bytes are those of the base, and `bytes` is not used.
    is_base: bool,
    /// Differences between stored and merged values.
    pub(super) error: ErrorStats,
}

/// Buffers of a thread, reused from block to block.
#[derive(Default)]
pub(super) struct WorkerScratch {
    merge: MergeScratch,
    chunk: MergedChunk,
    values: Vec<f32>,
}

impl WorkerScratch {
    /// Sets whether NaN and infinity are exported and not refused.
    pub(super) fn allow_non_finite(&mut self, allow: bool) {
        self.merge.allow_non_finite = allow;
    }
}

impl RowBlock {
    /// Makes the block of a chunk.
    pub(super) fn make(
        &mut self,
        plan: &ExportPlan,
        unit: &ReadUnit,
        chunk: &Chunk,
        scratch: &mut WorkerScratch,
    ) -> Result<()> {
        self.change.clear();
        self.effect = None;
        self.parts.resize_with(unit.parts.len(), EncodedRows::default);
        if let Some(tensor) = unit.tensor {
            self.read(&plan.model, tensor, chunk, scratch)?;
        }
        for (rows, (file, part)) in self.parts.iter_mut().zip(&unit.parts) {
            rows.fill(&plan.files[*file].parts[*part].content, plan, chunk, scratch)?;
        }
        std::mem::swap(&mut self.base, &mut scratch.chunk.base);
        Ok(())
    }

    /// The bytes of each part.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|rows| if rows.is_base { &*self.base } else { &*rows.bytes })
    }

    /// Reads and merges the chunk into the scratch.
    fn read(
        &mut self,
        model: &Model,
        tensor: usize,
        chunk: &Chunk,
        scratch: &mut WorkerScratch,
    ) -> Result<()> {
        let WorkerScratch { merge, chunk: values, .. } = scratch;
        let range = ElementRange { tensor, first: chunk.first, count: chunk.count };
        let effect = model.read(range, merge, values)?;
        let tensor = &model.tensors()[tensor];
        if effect != MergeEffect::Untouched {
            let columns = tensor.row_length() as usize;
            self.change.add_changes(tensor.info.dtype, columns, &values.base, &values.merged);
        }
        self.effect = Some(effect);
        Ok(())
    }
}

impl EncodedRows {
    fn fill(
        &mut self,
        content: &PartContent,
        plan: &ExportPlan,
        chunk: &Chunk,
        scratch: &mut WorkerScratch,
    ) -> Result<()> {
        self.error.clear();
        self.is_base = false;
        match content {
            PartContent::File(source) => {
                resize::bytes(&mut self.bytes, chunk.count as usize);
                let read = source.read_at(chunk.first, &mut self.bytes);
                read.map_err(|e| Error::read(source.location(), e))?;
            }
            PartContent::Values { values, as_type, .. } => {
                let once = as_type.bytes(values.len() as u64) as usize;
                resize::bytes(&mut self.bytes, once * chunk.count as usize);
                self.bytes.chunks_mut(once.max(1)).for_each(|bytes| as_type.encode(values, None, bytes));
            }
            PartContent::Stored(_) if scratch.chunk.merged.is_empty() => self.is_base = true,
            // a merged checkpoint is the only file of its pass that stores the tensor, so the buffer can be taken
            PartContent::Stored(_) => std::mem::swap(&mut scratch.chunk.merged, &mut self.bytes),
            PartContent::Encoded { tensor, transform, as_type, through_f16, importance, on_grid, .. } => {
                let encoder = RowEncoder {
                    model: &plan.model,
                    tensor: *tensor,
                    transform: *transform,
                    as_type: *as_type,
                    through_f16: *through_f16,
                    importance: importance.as_ref(),
                    on_grid: *on_grid,
                    allow_non_finite: scratch.merge.allow_non_finite,
                };
                encoder.encode(chunk.first, scratch.chunk.stored(), &mut scratch.values, self)?;
            }
        }
        Ok(())
    }
}

/// How the values of a tensor are encoded.
struct RowEncoder<'a> {
    model: &'a Model,
    tensor: usize,
    transform: TensorTransform,
    as_type: TensorType,
    through_f16: bool,
    importance: Option<&'a ColumnImportance>,
    on_grid: bool,
    allow_non_finite: bool,
}

impl RowEncoder<'_> {
    /// Encodes stored values from the element `first` on, a few at a time.
    fn encode(
        &self,
        mut first: u64,
        stored: &[u8],
        values: &mut Vec<f32>,
        rows: &mut EncodedRows,
    ) -> Result<()> {
        let Self { transform, as_type, through_f16, .. } = *self;
        let tensor = &self.model.tensors()[self.tensor];
        let (dtype, columns) = (tensor.info.dtype, tensor.row_length().max(1));
        let multiple = transform.granule(columns, tensor.info.elements()).max(1);
        let step = (CACHE_ELEMENTS as u64 / multiple).max(1) * multiple;
        resize::values(values, step as usize);
        resize::bytes(&mut rows.bytes, as_type.bytes(stored.len() as u64 / dtype.bytes()) as usize);
        let encoded = rows.bytes.chunks_mut(as_type.bytes(step).max(1) as usize);
        let mut row = first / columns;
        for (stored, bytes) in stored.chunks((step * dtype.bytes()) as usize).zip(encoded) {
            let values = &mut values[..stored.len() / dtype.bytes() as usize];
            let read = |values: &mut [f32]| {
                dtype.widen(stored, values);
                transform.apply(dtype, columns as usize, values);
            };
            read(values);
            if through_f16 {
                self.check_f16(first, values)?;
                values.iter_mut().for_each(|value| *value = half::round_to_f16(*value));
            }
            self.encode_rows(&mut row, columns, values, bytes);
            if through_f16 {
                // the error is measured against the values before that rounding
                read(values);
            }
            rows.error.add_errors(as_type, columns as usize, values, bytes);
            if !self.allow_non_finite && !rows.error.is_within(LARGEST_QUANTIZED) {
                let position = as_type.first_out_of_range(values, bytes);
                position.map_or(Ok(()), |position| self.out_of_range(first, values, position, as_type))?;
            }
            first += values.len() as u64;
        }
        Ok(())
    }

    /// Refuses values that are infinite as `f16`.
    fn check_f16(&self, first: u64, values: &[f32]) -> Result<()> {
        let exceeds = |value: &f32| !half::round_to_f16(*value).is_finite();
        match values.iter().position(exceeds) {
            Some(position) if !self.allow_non_finite => {
                self.out_of_range(first, values, position, TensorType::F16)
            }
            _ => Ok(()),
        }
    }

    fn out_of_range(&self, first: u64, values: &[f32], position: usize, stored: TensorType) -> Result<()> {
        let tensor = &self.model.tensors()[self.tensor];
        let element = (first + position as u64, values[position]);
        Err(Error::out_of_range(self.model.file_of(tensor), &tensor.info.name, element, stored))
    }

    /// Encodes whole rows; with an importance matrix one by one, because each has its own weights.
    fn encode_rows(&self, row: &mut u64, columns: u64, values: &[f32], bytes: &mut [u8]) {
        let encode = if self.on_grid { TensorType::encode_on_grid } else { TensorType::encode };
        let Some(importance) = self.importance else { return encode(self.as_type, values, None, bytes) };
        let encoded = bytes.chunks_exact_mut(self.as_type.bytes(columns) as usize);
        for (values, bytes) in values.chunks_exact(columns as usize).zip(encoded) {
            encode(self.as_type, values, Some(importance.for_row(*row)), bytes);
            *row += 1;
        }
    }
}
