//! The product of two factors added to rows of a weight, and DoRA's magnitudes.

use super::MergeEffect;
use super::kernel;
use super::kernel::Tile;
use crate::numerics::Dtype;
use crate::peft::AdapterTensor;

/// Elements worked on at a time, few enough to stay in the cache.
pub(crate) const CACHED: usize = 32 << 10;

/// What is added to a tensor, but for the left factor, of which each block has its own rows.
pub(super) struct LowRankDelta<'a> {
    /// The tensor's type.
    pub(super) dtype: Dtype,
    /// \[rank, columns\]
    pub(super) right: &'a [f32],
    pub(super) rank: usize,
    pub(super) scaling: f32,
    /// The product is rounded to the tensor's type before it is added.
    pub(super) rounded: bool,
    pub(super) rescale: DoraScale<'a>,
}

/// What DoRA does to the sum.
pub(super) enum DoraScale<'a> {
    /// Nothing: this is no DoRA.
    None,
    /// Rows are given these magnitudes.
    Rows(&'a [f32]),
    /// Columns are multiplied with these.
    Columns(&'a [f32]),
}

/// What a thread needs for it.
#[derive(Debug, Default)]
pub(super) struct DeltaBuffers {
    pub(super) weights: Vec<f32>,
    pub(super) delta: Vec<f32>,
    pub(super) rounded: Vec<u8>,
}

impl<'a> LowRankDelta<'a> {
    /// Of the factors of an embedding, the other way round. A plain one is rounded, DoRA's is not.
    pub(super) fn of_embedding(
        dtype: Dtype,
        right: &'a [f32],
        a: &AdapterTensor,
        scaling: f32,
        dora: bool,
    ) -> Self {
        Self { dtype, right, rank: a.shape[0] as usize, scaling, rounded: !dora, rescale: DoraScale::None }
    }

    fn columns(&self) -> usize {
        self.right.len() / self.rank
    }

    /// Merges whole rows, whose rows of the left factor are `left`: from `before` into `bytes`.
    pub(super) fn merge(
        &self,
        left: &[f32],
        buffers: &mut DeltaBuffers,
        before: &[u8],
        bytes: &mut [u8],
    ) -> MergeEffect {
        if matches!(self.rescale, DoraScale::None) && (is_zero(left) || is_zero(self.right)) {
            bytes.copy_from_slice(before);
            return MergeEffect::Zero;
        }
        let step = (CACHED / self.columns()).max(1);
        let size = step * self.columns() * self.dtype.bytes() as usize;
        let pieces = before.chunks(size).zip(bytes.chunks_mut(size));
        let mut effect = MergeEffect::Lost;
        for (number, ((before, bytes), left)) in pieces.zip(left.chunks(step * self.rank)).enumerate() {
            self.sum(left, buffers, before);
            self.rescale(number * step, &mut buffers.weights);
            effect = effect.max(store(self.dtype, &buffers.weights, before, bytes));
        }
        effect
    }

    /// The sum of `bytes` and product, in `weights`.
    pub(super) fn sum(&self, left: &[f32], buffers: &mut DeltaBuffers, bytes: &[u8]) {
        let (rank, columns, scaling) = (self.rank, self.columns(), self.scaling);
        let block = Tile { a: self.right, b: left, rank, columns, scaling };
        let DeltaBuffers { weights, delta, rounded } = buffers;
        weights.resize(left.len() / rank * columns, 0.0);
        self.dtype.widen(bytes, weights);
        if !self.rounded {
            return kernel::add(&block, weights);
        }
        delta.clear();
        delta.resize(weights.len(), 0.0);
        kernel::add(&block, delta);
        rounded.resize(bytes.len(), 0);
        self.dtype.narrow(delta, rounded);
        self.dtype.widen(rounded, delta);
        weights.iter_mut().zip(delta.iter()).for_each(|(w, d)| *w += d);
    }

    fn rescale(&self, first: usize, weights: &mut [f32]) {
        let rows = weights.chunks_exact_mut(self.columns());
        match self.rescale {
            DoraScale::None => {}
            DoraScale::Rows(magnitudes) => {
                rows.zip(&magnitudes[first..]).for_each(|(row, magnitude)| rescale(row, *magnitude));
            }
            DoraScale::Columns(factors) => {
                rows.for_each(|row| row.iter_mut().zip(factors).for_each(|(w, factor)| *w *= factor));
            }
        }
    }
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

/// Rounds `weights` into `bytes` and says whether they are other than `before`.
pub(super) fn store(dtype: Dtype, weights: &[f32], before: &[u8], bytes: &mut [u8]) -> MergeEffect {
    dtype.narrow(weights, bytes);
    if bytes == before { MergeEffect::Lost } else { MergeEffect::Changed }
}

pub(super) fn is_zero(values: &[f32]) -> bool {
    values.iter().all(|v| *v == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rescaled_row_has_its_magnitude() {
        let mut row = [3.0, 4.0];
        rescale(&mut row, 10.0);
        assert_eq!(row, [6.0, 8.0]);
    }

    #[test]
    fn rescaled_columns_are_multiplied_each_with_its_own() {
        let dtype = Dtype::F32;
        let rescale = DoraScale::Columns(&[2.0, 10.0]);
        let product =
            LowRankDelta { dtype, right: &[1.0, 0.0], rank: 1, scaling: 1.0, rounded: false, rescale };
        let before: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut bytes = vec![0; before.len()];
        product.merge(&[1.0, 0.0], &mut DeltaBuffers::default(), &before, &mut bytes);
        let mut merged = [0.0; 4];
        dtype.widen(&bytes, &mut merged);
        assert_eq!(merged, [4.0, 20.0, 6.0, 40.0]);
    }
}
