//! The arithmetic of each kind of change, block by block, in PEFT's order of operations.

use std::mem;

use super::delta::{DeltaBuffers, DoraScale, LowRankDelta, is_zero, store};
use super::{Model, ModelTensor};
use crate::error::Result;
use crate::numerics::Dtype;
use crate::peft::{AdapterTensor, ChangeKind};

/// What an adapter did to a block of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MergeEffect {
    /// Nothing of the adapter belongs to the tensor.
    Untouched,
    /// The adapter's values make no difference here: a product of zero, or the base's own values.
    Zero,
    /// The product is not zero, but too small to change the stored values.
    Lost,
    /// Stored values changed.
    Changed,
}

/// What a thread needs while it reads; kept, because new memory costs more than the arithmetic.
#[derive(Debug, Default)]
pub(crate) struct MergeScratch {
    raw: Vec<u8>,
    factor: Vec<f32>,
    line: Vec<f32>,
    buffers: DeltaBuffers,
    /// What a change is made from, where that is not the base.
    before: Vec<u8>,
}

impl Model {
    /// Reads `count` elements from `first` on: into `base` what the base stores, into `merged` what the merged
    /// checkpoint does. `merged` stays empty where nothing of the adapter belongs to the tensor; `base` ends early
    /// where a resized tensor has rows that the base's has not.
    pub(crate) fn read(
        &self,
        tensor: usize,
        first: u64,
        count: u64,
        scratch: &mut MergeScratch,
        base: &mut Vec<u8>,
        merged: &mut Vec<u8>,
    ) -> Result<MergeEffect> {
        let tensor = &self.tensors()[tensor];
        let width = tensor.info.dtype.bytes();
        self.read_base(tensor, first * width, count * width, base)?;
        merged.clear();
        let mut effect = MergeEffect::Untouched;
        if tensor.replaced.is_some() {
            self.read_unchanged(tensor, first, count, scratch, merged)?;
            effect = if merged == base { MergeEffect::Zero } else { MergeEffect::Changed };
        }
        // each change is made from one buffer into the other
        let mut before = mem::take(&mut scratch.before);
        for (number, change) in self.changes(tensor).enumerate() {
            mem::swap(&mut before, merged);
            let from = if number == 0 && tensor.replaced.is_none() { &*base } else { &before };
            merged.resize(from.len(), 0);
            effect = effect.max(self.apply(change, tensor, first, scratch, from, merged)?);
        }
        scratch.before = before;
        Ok(effect)
    }

    /// Replaces `bytes` with what the adapter's changes begin with.
    fn read_unchanged(
        &self,
        tensor: &ModelTensor,
        first: u64,
        count: u64,
        scratch: &mut MergeScratch,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let width = tensor.info.dtype.bytes();
        bytes.resize((count * width) as usize, 0);
        let Some(stored) = &tensor.replaced else {
            return self.base().read(&self.base().tensors()[tensor.base], first * width, bytes);
        };
        stored.read(first, count, &mut scratch.raw, &mut scratch.buffers.weights)?;
        tensor.info.dtype.narrow(&scratch.buffers.weights, bytes);
        Ok(())
    }

    fn read_base(&self, tensor: &ModelTensor, first: u64, count: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let base = &self.base().tensors()[tensor.base];
        let end = (first + count).min(base.bytes);
        bytes.resize(end.saturating_sub(first) as usize, 0);
        if bytes.is_empty() { Ok(()) } else { self.base().read(base, first, bytes) }
    }

    /// Makes a change: from `before` into `bytes`.
    fn apply(
        &self,
        change: &ChangeKind,
        tensor: &ModelTensor,
        first: u64,
        scratch: &mut MergeScratch,
        before: &[u8],
        bytes: &mut [u8],
    ) -> Result<MergeEffect> {
        let dtype = tensor.info.dtype;
        match change {
            ChangeKind::LowRank { a, b, scaling, magnitude, rounded } => {
                let (rank, columns) = (a.shape[0], a.shape[1]);
                let (row, rows) = rows_of(dtype, columns, first, bytes);
                b.read(row * rank, rows * rank, &mut scratch.raw, &mut scratch.factor)?;
                if let Some(magnitude) = magnitude {
                    magnitude.read(row, rows, &mut scratch.raw, &mut scratch.line)?;
                }
                let right = self.0.factors.get(&a.name, || a.read_all())?;
                let MergeScratch { factor, line, buffers, .. } = scratch;
                let rescale = magnitude.as_ref().map_or(DoraScale::None, |_| DoraScale::Rows(line));
                let (scaling, rounded) = (*scaling, *rounded);
                let product =
                    LowRankDelta { dtype, right: &right, rank: rank as usize, scaling, rounded, rescale };
                Ok(product.merge(factor, buffers, before, bytes))
            }
            ChangeKind::Embedding { a, b, scaling, magnitude } => {
                let (row, rows) = rows_of(dtype, b.shape[0], first, bytes);
                let right = self.0.factors.get(&b.name, || transposed(b))?;
                let mut product = LowRankDelta::of_embedding(dtype, &right, a, *scaling, magnitude.is_some());
                let factors = match magnitude {
                    Some(m) => {
                        Some(self.0.factors.get(&m.name, || self.column_factors(tensor, &product, a, m))?)
                    }
                    None => None,
                };
                product.rescale = factors.as_deref().map_or(DoraScale::None, |f| DoraScale::Columns(f));
                read_columns(a, row, rows, scratch)?;
                Ok(product.merge(&scratch.factor, &mut scratch.buffers, before, bytes))
            }
            ChangeKind::Rows { rows, values } => {
                bytes.copy_from_slice(before);
                replace_rows(dtype, rows, values, first, scratch, bytes)
            }
            ChangeKind::Whole(_) => {
                bytes.copy_from_slice(before);
                Ok(MergeEffect::Zero)
            }
            ChangeKind::Add { values, scaling } => {
                add_vector(dtype, values, *scaling, first, scratch, before, bytes)
            }
        }
    }

    /// What DoRA multiplies an embedding's columns with: magnitude / ‖column of the sum‖. Columns run over the whole
    /// tensor, so it is read once more; torch sums their squares row by row.
    fn column_factors(
        &self,
        tensor: &ModelTensor,
        product: &LowRankDelta<'_>,
        a: &AdapterTensor,
        magnitude: &AdapterTensor,
    ) -> Result<Vec<f32>> {
        const STEP: u64 = 1 << 20;
        let columns = magnitude.length();
        let (mut scratch, mut bytes) = (MergeScratch::default(), Vec::new());
        let mut squares = vec![0.0_f32; columns as usize];
        let step = (STEP / columns).max(1);
        for row in (0..tensor.info.shape[0]).step_by(step as usize) {
            let rows = step.min(tensor.info.shape[0] - row);
            self.read_unchanged(tensor, row * columns, rows * columns, &mut scratch, &mut bytes)?;
            read_columns(a, row, rows, &mut scratch)?;
            product.sum(&scratch.factor, &mut scratch.buffers, &bytes);
            for row in scratch.buffers.weights.chunks_exact(columns as usize) {
                squares.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * w);
            }
        }
        let magnitudes = magnitude.read_all()?;
        Ok(magnitudes.iter().zip(squares).map(|(magnitude, square)| magnitude / square.sqrt()).collect())
    }
}

/// The first row of a block and how many it has.
fn rows_of(dtype: Dtype, columns: u64, first: u64, bytes: &[u8]) -> (u64, u64) {
    (first / columns, bytes.len() as u64 / (columns * dtype.bytes()))
}

/// Reads `rows` columns of A from `first` on into `factor`, as rows of `rank`.
fn read_columns(a: &AdapterTensor, first: u64, rows: u64, scratch: &mut MergeScratch) -> Result<()> {
    let (rank, columns) = (a.shape[0], a.shape[1]);
    scratch.factor.resize((rows * rank) as usize, 0.0);
    for k in 0..rank {
        a.read(k * columns + first, rows, &mut scratch.raw, &mut scratch.line)?;
        for (row, value) in scratch.factor.chunks_exact_mut(rank as usize).zip(&scratch.line) {
            row[k as usize] = *value;
        }
    }
    Ok(())
}

fn replace_rows(
    dtype: Dtype,
    rows: &[u64],
    values: &AdapterTensor,
    first: u64,
    scratch: &mut MergeScratch,
    bytes: &mut [u8],
) -> Result<MergeEffect> {
    let columns = values.shape[1];
    let (start, count) = rows_of(dtype, columns, first, bytes);
    let width = (columns * dtype.bytes()) as usize;
    let mut effect = MergeEffect::Zero;
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| (start..start + count).contains(*row)) {
        values.read(number as u64 * columns, columns, &mut scratch.raw, &mut scratch.buffers.weights)?;
        let at = (row - start) as usize * width;
        let place = &mut bytes[at..at + width];
        scratch.raw.clear();
        scratch.raw.extend_from_slice(place);
        effect = effect.max(store(dtype, &scratch.buffers.weights, &scratch.raw, place));
    }
    // a row that was listed and never trained is no loss
    Ok(if effect == MergeEffect::Lost { MergeEffect::Zero } else { effect })
}

fn add_vector(
    dtype: Dtype,
    values: &AdapterTensor,
    scaling: f32,
    first: u64,
    scratch: &mut MergeScratch,
    before: &[u8],
    bytes: &mut [u8],
) -> Result<MergeEffect> {
    let count = bytes.len() as u64 / dtype.bytes();
    values.read(first, count, &mut scratch.raw, &mut scratch.line)?;
    if is_zero(&scratch.line) {
        bytes.copy_from_slice(before);
        return Ok(MergeEffect::Zero);
    }
    scratch.buffers.weights.resize(count as usize, 0.0);
    dtype.widen(before, &mut scratch.buffers.weights);
    scratch.buffers.weights.iter_mut().zip(&scratch.line).for_each(|(w, v)| *w += v * scaling);
    Ok(store(dtype, &scratch.buffers.weights, before, bytes))
}

/// A matrix with rows for columns.
fn transposed(matrix: &AdapterTensor) -> Result<Vec<f32>> {
    let values = matrix.read_all()?;
    let (rows, columns) = (matrix.shape[0] as usize, matrix.shape[1] as usize);
    Ok((0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect())
}
