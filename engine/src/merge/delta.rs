//! The delta weight scaling·B·A, added to rows of a weight, and DoRA's magnitudes (PEFT's `get_delta_weight`).

use kernels::lora::{self, Tile};
use kernels::numerics::Dtype;
use kernels::resize;

use super::effect::MergeEffect;

use crate::peft::AdapterTensor;

/// Elements merged at a time, few enough to stay in the cache.
pub(crate) const CACHE_ELEMENTS: usize = 32 << 10;

/// The delta of a tensor, without the left factor, whose rows come with each chunk.
pub(super) struct LowRankDelta<'a> {
    /// The tensor's type.
    pub(super) dtype: Dtype,
    /// \[rank, columns\]
    pub(super) right: &'a [f32],
    pub(super) rank: usize,
    pub(super) scaling: f32,
    /// The delta is rounded to the tensor's type before it is added.
    pub(super) rounded: bool,
    pub(super) rescale: DoraScale<'a>,
}

/// How DoRA scales the sum of base and delta.
pub(super) enum DoraScale<'a> {
    /// Not at all: the adapter has no magnitudes.
    None,
    /// Each row to its magnitude.
    Rows(&'a [f32]),
    /// Each column by its factor.
    Columns(&'a [f32]),
}

/// Buffers of a thread, reused from chunk to chunk.
#[derive(Debug, Default)]
pub(super) struct DeltaBuffers {
    pub(super) weights: Vec<f32>,
    pub(super) delta: Vec<f32>,
    pub(super) rounded: Vec<u8>,
}

impl<'a> LowRankDelta<'a> {
    /// The delta of an embedding, whose factors are transposed. It is rounded without DoRA, and not rounded with it.
    pub(super) fn for_embedding(
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

    /// Merges whole rows from `before` into `bytes`. `left` has their rows of the left factor.
    pub(super) fn merge(
        &self,
        left: &[f32],
        buffers: &mut DeltaBuffers,
        before: &[u8],
        bytes: &mut [u8],
    ) -> MergeEffect {
        let is_nothing = || self.scaling == 0.0 || is_zero(left) || is_zero(self.right);
        if matches!(self.rescale, DoraScale::None) && is_nothing() {
            bytes.copy_from_slice(before);
            return MergeEffect::Zero;
        }
        let step = (CACHE_ELEMENTS / self.columns()).max(1);
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

    /// Writes the sum of `bytes` and delta to `buffers.weights`.
    pub(super) fn sum(&self, left: &[f32], buffers: &mut DeltaBuffers, bytes: &[u8]) {
        let (rank, columns, scaling) = (self.rank, self.columns(), self.scaling);
        let tile = Tile { a: self.right, b: left, rank, columns, scaling };
        let DeltaBuffers { weights, delta, rounded } = buffers;
        resize::values(weights, left.len() / rank * columns);
        self.dtype.widen(bytes, weights);
        if !self.rounded {
            return lora::add(&tile, weights);
        }
        delta.clear();
        resize::values(delta, weights.len());
        lora::add(&tile, delta);
        resize::bytes(rounded, bytes.len());
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

/// Scales a row to its magnitude. The norm is summed as torch sums it on 256-bit vectors: in eight lanes, then over the
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

/// Rounds `weights` into `bytes` and compares them with `before`.
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
    fn each_column_is_multiplied_by_its_own_factor() {
        let dtype = Dtype::F32;
        let rescale = DoraScale::Columns(&[2.0, 10.0]);
        let delta =
            LowRankDelta { dtype, right: &[1.0, 0.0], rank: 1, scaling: 1.0, rounded: false, rescale };
        let before: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut bytes = vec![0; before.len()];
        delta.merge(&[1.0, 0.0], &mut DeltaBuffers::default(), &before, &mut bytes);
        let mut merged = [0.0; 4];
        dtype.widen(&bytes, &mut merged);
        assert_eq!(merged, [4.0, 20.0, 6.0, 40.0]);
    }
}
