//! The arithmetic of each kind of change, block by block, in PEFT's order of operations.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Model, Tensor};
use crate::Result;
use crate::checkpoint::Dtype;
use crate::lora::kernel::{self, Block};
use crate::lora::{Change, Stored};

/// What an adapter did to a block of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// Nothing of the adapter belongs to the tensor.
    Untouched,
    /// The adapter's values make no difference here: a product of zero, or the base's own values.
    Zero,
    /// The product is not zero, but too small to change the stored values.
    Lost,
    /// Stored values changed.
    Changed,
}

/// Elements worked on at a time, few enough to stay in the cache.
pub(crate) const CACHED: usize = 32 << 10;

/// What a thread needs while it reads; kept, because new memory costs more than the arithmetic.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    raw: Vec<u8>,
    factor: Vec<f32>,
    line: Vec<f32>,
    weights: Vec<f32>,
    delta: Vec<f32>,
    merged: Vec<u8>,
}

impl Model {
    /// Replaces `bytes` with `count` elements from `first` on as the merged checkpoint stores them, and says what
    /// the adapter did to them.
    pub(crate) fn read(
        &self,
        tensor: usize,
        first: u64,
        count: u64,
        scratch: &mut Scratch,
        bytes: &mut Vec<u8>,
    ) -> Result<Effect> {
        let tensor = &self.tensors()[tensor];
        let (dtype, width) = (tensor.info.dtype, tensor.info.dtype.bytes());
        bytes.resize((count * width) as usize, 0);
        let mut effect = Effect::Untouched;
        match &tensor.replaced {
            None => self.base().read(&self.base().tensors()[tensor.base], first * width, bytes)?,
            Some(stored) => {
                stored.read(first, count, &mut scratch.raw, &mut scratch.weights)?;
                dtype.narrow(&scratch.weights, bytes);
                effect = self.compare(tensor, first, bytes, &mut scratch.merged)?;
            }
        }
        for change in self.changes(tensor) {
            effect = effect.max(self.apply(change, tensor, first, scratch, bytes)?);
        }
        Ok(effect)
    }

    /// Whether replaced values differ from the base's.
    fn compare(&self, tensor: &Tensor, first: u64, bytes: &[u8], before: &mut Vec<u8>) -> Result<Effect> {
        let base = &self.base().tensors()[tensor.base];
        let from = first * tensor.info.dtype.bytes();
        if from + bytes.len() as u64 > base.bytes {
            return Ok(Effect::Changed);
        }
        before.resize(bytes.len(), 0);
        self.base().read(base, from, before)?;
        Ok(if *before == bytes { Effect::Zero } else { Effect::Changed })
    }

    fn apply(
        &self,
        change: &Change,
        tensor: &Tensor,
        first: u64,
        scratch: &mut Scratch,
        bytes: &mut [u8],
    ) -> Result<Effect> {
        let dtype = tensor.info.dtype;
        match change {
            Change::LowRank { a, b, scaling, magnitude } => {
                let (rank, columns) = (a.shape[0], a.shape[1]);
                let (row, rows) = rows_of(dtype, columns, first, bytes);
                b.read(row * rank, rows * rank, &mut scratch.raw, &mut scratch.factor)?;
                if let Some(magnitude) = magnitude {
                    magnitude.read(row, rows, &mut scratch.raw, &mut scratch.line)?;
                }
                let a = self.0.factors.get(a, None)?;
                let dora = magnitude.is_some();
                Ok(low_rank(dtype, &a, rank as usize, columns as usize, *scaling, dora, scratch, bytes))
            }
            Change::Embedding { a, b, scaling } => {
                let (rank, columns) = (a.shape[0], b.shape[0]);
                let (row, rows) = rows_of(dtype, columns, first, bytes);
                read_columns(a, row, rows, scratch)?;
                let b = self.0.factors.get(b, Some(columns as usize))?;
                Ok(embedding(dtype, &b, rank as usize, columns as usize, *scaling, scratch, bytes))
            }
            Change::Rows { rows, values } => replace_rows(dtype, rows, values, first, scratch, bytes),
            Change::Whole(_) => Ok(Effect::Zero),
            Change::Add { values, scaling } => add_vector(dtype, values, *scaling, first, scratch, bytes),
        }
    }
}

/// The first row of a block and how many it has.
fn rows_of(dtype: Dtype, columns: u64, first: u64, bytes: &[u8]) -> (u64, u64) {
    (first / columns, bytes.len() as u64 / (columns * dtype.bytes()))
}

/// W + scaling·B·A, and for DoRA magnitude / ‖that row‖ times it. B's rows are in `factor`, magnitudes in `line`.
#[expect(clippy::too_many_arguments, reason = "a block's whole arithmetic in one place")]
fn low_rank(
    dtype: Dtype,
    a: &[f32],
    rank: usize,
    columns: usize,
    scaling: f32,
    dora: bool,
    scratch: &mut Scratch,
    bytes: &mut [u8],
) -> Effect {
    let Scratch { factor, line, weights, merged, .. } = scratch;
    if !dora && (is_zero(factor) || is_zero(a)) {
        return Effect::Zero;
    }
    let mut effect = Effect::Lost;
    let step = (CACHED / columns).max(1);
    let mut magnitudes = line.chunks(step);
    for (bytes, b) in
        bytes.chunks_mut(step * columns * dtype.bytes() as usize).zip(factor.chunks(step * rank))
    {
        weights.resize(b.len() / rank * columns, 0.0);
        dtype.widen(bytes, weights);
        kernel::add(&Block { a, b, rank, columns, scaling }, weights);
        if dora {
            let rows = weights.chunks_exact_mut(columns);
            for (row, magnitude) in rows.zip(magnitudes.next().unwrap_or_default()) {
                rescale(row, *magnitude);
            }
        }
        effect = effect.max(store(dtype, weights, merged, bytes));
    }
    effect
}

/// Gives a row its magnitude. The norm is summed as torch sums it on 256-bit vectors: in eight lanes, then over the
/// lanes.
fn rescale(row: &mut [f32], magnitude: f32) {
    const LANES: usize = 8;
    let (full, rest) = row.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for chunk in full {
        for (sum, w) in lanes.iter_mut().zip(chunk) {
            *sum += w * w;
        }
    }
    let sum = lanes.into_iter().chain(rest.iter().map(|w| w * w)).fold(0.0, |sum: f32, part| sum + part);
    let factor = magnitude / sum.sqrt();
    row.iter_mut().for_each(|w| *w *= factor);
}

/// W + (scaling·B·A)ᵀ, the product first rounded to the checkpoint's type. A's columns are in `factor` as rows.
fn embedding(
    dtype: Dtype,
    b: &[f32],
    rank: usize,
    columns: usize,
    scaling: f32,
    scratch: &mut Scratch,
    bytes: &mut [u8],
) -> Effect {
    let Scratch { factor, weights, delta, merged, .. } = scratch;
    if is_zero(factor) || is_zero(b) {
        return Effect::Zero;
    }
    let mut effect = Effect::Lost;
    let step = (CACHED / columns).max(1);
    for (bytes, rows) in
        bytes.chunks_mut(step * columns * dtype.bytes() as usize).zip(factor.chunks(step * rank))
    {
        weights.resize(rows.len() / rank * columns, 0.0);
        delta.clear();
        delta.resize(weights.len(), 0.0);
        kernel::add(&Block { a: b, b: rows, rank, columns, scaling }, delta);
        merged.resize(bytes.len(), 0);
        dtype.narrow(delta, merged);
        dtype.widen(merged, delta);
        dtype.widen(bytes, weights);
        weights.iter_mut().zip(delta.iter()).for_each(|(w, d)| *w += d);
        effect = effect.max(store(dtype, weights, merged, bytes));
    }
    effect
}

/// Reads `rows` columns of A from `first` on into `factor`, as rows of `rank`.
fn read_columns(a: &Stored, first: u64, rows: u64, scratch: &mut Scratch) -> Result<()> {
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
    values: &Stored,
    first: u64,
    scratch: &mut Scratch,
    bytes: &mut [u8],
) -> Result<Effect> {
    let columns = values.shape[1];
    let (start, count) = rows_of(dtype, columns, first, bytes);
    let width = (columns * dtype.bytes()) as usize;
    let mut effect = Effect::Zero;
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| (start..start + count).contains(*row)) {
        values.read(number as u64 * columns, columns, &mut scratch.raw, &mut scratch.weights)?;
        let at = (row - start) as usize * width;
        effect = effect.max(store(dtype, &scratch.weights, &mut scratch.merged, &mut bytes[at..at + width]));
    }
    // a row that was listed and never trained is no loss
    Ok(if effect == Effect::Lost { Effect::Zero } else { effect })
}

fn add_vector(
    dtype: Dtype,
    values: &Stored,
    scaling: f32,
    first: u64,
    scratch: &mut Scratch,
    bytes: &mut [u8],
) -> Result<Effect> {
    let count = bytes.len() as u64 / dtype.bytes();
    values.read(first, count, &mut scratch.raw, &mut scratch.line)?;
    if is_zero(&scratch.line) {
        return Ok(Effect::Zero);
    }
    scratch.weights.resize(count as usize, 0.0);
    dtype.widen(bytes, &mut scratch.weights);
    scratch.weights.iter_mut().zip(&scratch.line).for_each(|(w, v)| *w += v * scaling);
    Ok(store(dtype, &scratch.weights, &mut scratch.merged, bytes))
}

/// Rounds `weights` into `bytes` and says whether that changed them.
fn store(dtype: Dtype, weights: &[f32], merged: &mut Vec<u8>, bytes: &mut [u8]) -> Effect {
    merged.resize(bytes.len(), 0);
    dtype.narrow(weights, merged);
    if merged == bytes {
        return Effect::Lost;
    }
    bytes.copy_from_slice(merged);
    Effect::Changed
}

fn is_zero(values: &[f32]) -> bool {
    values.iter().all(|v| *v == 0.0)
}

/// The factors in use: each belongs to every block of its tensor, and few tensors are in work at once.
#[derive(Debug, Default)]
pub(super) struct Factors(Mutex<Vec<(String, Arc<Vec<f32>>)>>);

impl Factors {
    const KEPT: usize = 4;

    /// A factor's values; with `rows`, of its transpose, it having that many rows.
    fn get(&self, factor: &Stored, rows: Option<usize>) -> Result<Arc<Vec<f32>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = kept.iter().find(|(name, _)| *name == factor.name) {
            return Ok(Arc::clone(values));
        }
        let values = factor.read_all()?;
        let values = Arc::new(match rows {
            Some(rows) => transposed(&values, rows),
            None => values,
        });
        if kept.len() == Self::KEPT {
            kept.remove(0);
        }
        kept.push((factor.name.clone(), Arc::clone(&values)));
        Ok(values)
    }
}

fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transpose_has_columns_for_rows() {
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn a_rescaled_row_has_its_magnitude() {
        let mut row = [3.0, 4.0];
        rescale(&mut row, 10.0);
        assert_eq!(row, [6.0, 8.0]);
    }
}
