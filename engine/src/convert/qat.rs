//! Bases whose weights lie on a grid of 16 levels, as quantization-aware training for Q4_0 leaves them: found by the weights, not
//! by the name.

use kernels::quant::{TensorType, count_grids};

use super::planned_tensor::PlannedTensor;
use crate::error::Result;
use crate::merge::{ElementRange, MergeScratch, MergedChunk, Model};

/// The tensors of which weights are read.
const SAMPLED_TENSORS: usize = 4;
/// The elements that are read of each.
const SAMPLED_ELEMENTS: u64 = 1 << 15;
/// The share of blocks on a grid from which a model is one of quantization-aware training.
const LEAST_SHARE: f64 = 0.95;
/// The blocks without which nothing is known.
const LEAST_BLOCKS: usize = 16;

/// What is known about the grid of a model in Q4_0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GridUse {
    /// Tensors of the file that are encoded with the steps of their grid.
    pub(super) on_grid: usize,
    /// Tensors in Q4_0 that the adapter moves off the grid.
    pub(super) moved: usize,
}

/// Marks the tensors in Q4_0 that are encoded with the steps of their grid.
pub(super) fn mark_grids(model: &Model, tensors: &mut [PlannedTensor]) -> Result<GridUse> {
    let is_4_bit = |tensor: &&mut PlannedTensor| tensor.as_type == TensorType::Q4_0;
    let mut found = GridUse::default();
    if !is_base_on_grid(model, tensors)? {
        return Ok(found);
    }
    for tensor in tensors.iter_mut().filter(is_4_bit) {
        let is_moved = tensor.tensors().any(|number| model.tensors()[number].is_target());
        tensor.on_grid = !is_moved;
        *(if tensor.on_grid { &mut found.on_grid } else { &mut found.moved }) += 1;
    }
    Ok(found)
}

/// Whether the weights of the base lie on grids in the tensors that become Q4_0.
fn is_base_on_grid(model: &Model, tensors: &[PlannedTensor]) -> Result<bool> {
    let base = Model::new(model.base());
    let sampled = tensors.iter().filter(|tensor| tensor.as_type == TensorType::Q4_0);
    let numbers = sampled.filter_map(|tensor| tensor.tensors().next()).take(SAMPLED_TENSORS);
    let (mut blocks, mut on_grid) = (0, 0);
    let (mut scratch, mut chunk) = (MergeScratch::with_non_finite(), MergedChunk::default());
    for number in numbers {
        let tensor = model.tensors()[number].base;
        let info = &base.tensors()[tensor].info;
        let count = SAMPLED_ELEMENTS.min(info.elements());
        base.read(ElementRange { tensor, first: 0, count }, &mut scratch, &mut chunk)?;
        let mut values = vec![0.0; count as usize];
        info.dtype.widen(chunk.stored(), &mut values);
        let counted = count_grids(&values);
        (blocks, on_grid) = (blocks + counted.0, on_grid + counted.1);
    }
    Ok(blocks >= LEAST_BLOCKS && on_grid as f64 >= LEAST_SHARE * blocks as f64)
}
