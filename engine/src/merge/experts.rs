//! The delta of a stack of experts' weights (PEFT's `ParamWrapper.get_delta_weight`).

use std::mem;

use super::apply::{ChangeInput, read_all};
use super::delta::{DeltaBuffers, DoraScale, LowRankDelta};
use super::effect::MergeEffect;
use crate::error::Result;
use crate::peft::AdapterTensor;

/// The factors of all experts of a stack.
pub(super) struct ExpertFactors<'a> {
    /// \[experts, rows, rank\]
    pub(super) left: &'a [f32],
    /// \[experts, rank, columns\]
    pub(super) right: &'a [f32],
    pub(super) rows: u64,
    pub(super) rank: u64,
    pub(super) scaling: f32,
}

impl ExpertFactors<'_> {
    /// Merges whole rows, which may be of several experts.
    pub(super) fn merge(
        &self,
        input: ChangeInput<'_>,
        buffers: &mut DeltaBuffers,
        bytes: &mut [u8],
    ) -> MergeEffect {
        let left_length = (self.rows * self.rank) as usize;
        let right_length = self.right.len() / (self.left.len() / left_length);
        let columns = right_length as u64 / self.rank;
        let width = (columns * input.dtype.bytes()) as usize;
        let (mut row, mut before, mut bytes) = (input.first / columns, input.before, bytes);
        let mut effect = MergeEffect::Zero;
        while !before.is_empty() {
            let (expert, first) = ((row / self.rows) as usize, row % self.rows);
            let count = (self.rows - first).min((before.len() / width) as u64);
            let (of_expert, rest) = before.split_at(count as usize * width);
            let (merged, rest_bytes) = mem::take(&mut bytes).split_at_mut(of_expert.len());
            let delta = LowRankDelta {
                dtype: input.dtype,
                right: &self.right[expert * right_length..][..right_length],
                rank: self.rank as usize,
                scaling: self.scaling,
                rounded: true,
                rescale: DoraScale::None,
            };
            let first_factor = expert * left_length + (first * self.rank) as usize;
            let left = &self.left[first_factor..][..(count * self.rank) as usize];
            effect = effect.max(delta.merge(left, buffers, of_expert, merged));
            (row, before, bytes) = (row + count, rest, rest_bytes);
        }
        effect
    }
}

/// The values of B \[rows, rank · experts\], ordered as \[experts, rows, rank\].
pub(super) fn rows_by_expert(b: &AdapterTensor, rank: u64, allow_non_finite: bool) -> Result<Vec<f32>> {
    let values = read_all(b, allow_non_finite)?;
    let (columns, rank) = (b.shape[1] as usize, rank as usize);
    let experts = columns / rank;
    let mut ordered = Vec::with_capacity(values.len());
    for expert in 0..experts {
        for row in values.chunks_exact(columns) {
            ordered.extend((0..rank).map(|k| row[k * experts + expert]));
        }
    }
    Ok(ordered)
}
