//! Applies the changes of an adapter to chunks of a tensor, in PEFT's order of operations.

use std::mem;
use std::sync::Arc;

use kernels::numerics::{Dtype, first_non_finite};
use kernels::resize;

use super::delta::{DeltaBuffers, DoraScale, LowRankDelta, is_zero, store};
use super::effect::MergeEffect;
use super::experts;
use super::experts::ExpertFactors;
use super::{Model, ModelTensor};
use crate::checkpoint::TensorInfo;
use crate::error::{Error, NON_FINITE, Result};
use crate::gemma::is_clip_limit_name;
use crate::peft::{AdapterTensor, ChangeKind};

/// Elements of a tensor of the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElementRange {
    /// The number of the tensor.
    pub(crate) tensor: usize,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

/// A chunk of a tensor, before and after the merge. Reused, because allocation costs more than the arithmetic.
#[derive(Debug, Default)]
pub(crate) struct MergedChunk {
    /// The bytes of the base. Shorter than the range where a resized tensor has more rows than the base's.
    pub(crate) base: Vec<u8>,
    /// The bytes of the merged tensor. Empty where the adapter does not change the tensor.
    pub(crate) merged: Vec<u8>,
}

impl MergedChunk {
    /// The bytes that the merged checkpoint stores.
    pub(crate) fn stored(&self) -> &[u8] {
        if self.merged.is_empty() { &self.base } else { &self.merged }
    }
}

/// Buffers of a thread, reused from chunk to chunk.
#[derive(Debug, Default)]
pub(crate) struct MergeScratch {
    /// NaN and infinity are merged like other values, and not refused.
    pub(crate) allow_non_finite: bool,
    raw: Vec<u8>,
    factor: Vec<f32>,
    vector: Vec<f32>,
    buffers: DeltaBuffers,
    /// The values before a change, where they are not the base's.
    before: Vec<u8>,
}

impl MergeScratch {
    /// Buffers with which NaN and infinity are not refused.
    pub(crate) fn with_non_finite() -> Self {
        Self { allow_non_finite: true, ..Self::default() }
    }
}

/// What a change is applied to.
#[derive(Clone, Copy)]
pub(super) struct ChangeInput<'a> {
    /// The number of the tensor.
    tensor: usize,
    pub(super) dtype: Dtype,
    /// The number of the first element.
    pub(super) first: u64,
    pub(super) before: &'a [u8],
}

impl ChangeInput<'_> {
    /// The first row and the number of rows, of `columns` elements each.
    fn rows(&self, columns: u64) -> (u64, u64) {
        (self.first / columns, self.before.len() as u64 / (columns * self.dtype.bytes()))
    }
}

impl Model {
    /// Reads and merges a range of elements into `chunk`.
    pub(crate) fn read(
        &self,
        range: ElementRange,
        scratch: &mut MergeScratch,
        chunk: &mut MergedChunk,
    ) -> Result<MergeEffect> {
        let tensor = &self.tensors()[range.tensor];
        self.read_base(tensor, range, &mut chunk.base)?;
        chunk.merged.clear();
        let mut effect = MergeEffect::Untouched;
        if tensor.replaced.is_some() {
            self.read_start(range, scratch, &mut chunk.merged)?;
            effect = if chunk.merged == chunk.base { MergeEffect::Zero } else { MergeEffect::Changed };
        }
        // each change reads one buffer and writes the other
        let mut previous = mem::take(&mut scratch.before);
        for (number, change) in self.changes(tensor).enumerate() {
            mem::swap(&mut previous, &mut chunk.merged);
            let before = if number == 0 && tensor.replaced.is_none() { &*chunk.base } else { &previous };
            resize::bytes(&mut chunk.merged, before.len());
            let input =
                ChangeInput { tensor: range.tensor, dtype: tensor.info.dtype, first: range.first, before };
            effect = effect.max(self.apply(change, input, scratch, &mut chunk.merged)?);
        }
        scratch.before = previous;
        if !scratch.allow_non_finite {
            self.check_finite(range, chunk)?;
        }
        Ok(effect)
    }

    /// Refuses NaN and infinity in the base and in the merged values. The infinite limits of a module that does not clip
    /// are no fault.
    fn check_finite(&self, range: ElementRange, chunk: &MergedChunk) -> Result<()> {
        let tensor = &self.tensors()[range.tensor];
        for (bytes, whose) in [(&chunk.base, "of the base"), (&chunk.merged, "of the merged weights")] {
            let found = first_non_finite(tensor.info.dtype, bytes);
            if let Some(position) = found.filter(|_| !is_clip_limit(&tensor.info, bytes)) {
                let element = range.first + position as u64;
                let problem = format!("element {element} {whose} is {NON_FINITE}");
                return Err(Error::tensor(self.file_of(tensor), &tensor.info.name, problem));
            }
        }
        Ok(())
    }

    /// Replaces `bytes` with the values that the changes start from.
    fn read_start(&self, range: ElementRange, scratch: &mut MergeScratch, bytes: &mut Vec<u8>) -> Result<()> {
        let ElementRange { tensor, first, count } = range;
        let tensor = &self.tensors()[tensor];
        let width = tensor.info.dtype.bytes();
        resize::bytes(bytes, (count * width) as usize);
        let Some(stored) = &tensor.replaced else {
            return self.base().read(&self.base().tensors()[tensor.base], first * width, bytes);
        };
        read_adapter(
            stored,
            (first, count),
            scratch.allow_non_finite,
            &mut scratch.raw,
            &mut scratch.buffers.weights,
        )?;
        tensor.info.dtype.narrow(&scratch.buffers.weights, bytes);
        Ok(())
    }

    fn read_base(&self, tensor: &ModelTensor, range: ElementRange, bytes: &mut Vec<u8>) -> Result<()> {
        let base = &self.base().tensors()[tensor.base];
        let width = tensor.info.dtype.bytes();
        let first = range.first * width;
        let end = (first + range.count * width).min(base.bytes);
        resize::bytes(bytes, end.saturating_sub(first) as usize);
        if bytes.is_empty() { Ok(()) } else { self.base().read(base, first, bytes) }
    }

    /// Applies a change and writes the result to `bytes`.
    fn apply(
        &self,
        change: &ChangeKind,
        input: ChangeInput<'_>,
        scratch: &mut MergeScratch,
        bytes: &mut [u8],
    ) -> Result<MergeEffect> {
        let dtype = input.dtype;
        match change {
            ChangeKind::LowRank { a, b, scaling, magnitude, rounded } => {
                let (rank, columns) = (a.shape[0], a.shape[1]);
                let (row, rows) = input.rows(columns);
                let allow = scratch.allow_non_finite;
                read_adapter(b, (row * rank, rows * rank), allow, &mut scratch.raw, &mut scratch.factor)?;
                if let Some(magnitude) = magnitude {
                    read_adapter(magnitude, (row, rows), allow, &mut scratch.raw, &mut scratch.vector)?;
                }
                let right = self.0.factors.get(&a.name, || read_all(a, allow))?;
                let MergeScratch { factor, vector, buffers, .. } = scratch;
                let rescale = magnitude.as_ref().map_or(DoraScale::None, |_| DoraScale::Rows(vector));
                let (scaling, rounded, rank) = (*scaling, *rounded, rank as usize);
                let delta = LowRankDelta { dtype, right: &right, rank, scaling, rounded, rescale };
                Ok(delta.merge(factor, buffers, input.before, bytes))
            }
            ChangeKind::ExpertLowRank { a, b, scaling, rank } => {
                let allow = scratch.allow_non_finite;
                let right = self.0.factors.get(&a.name, || read_all(a, allow))?;
                let left = self.0.factors.get(&b.name, || experts::rows_by_expert(b, *rank, allow))?;
                let (rows, scaling) = (b.shape[0], *scaling);
                let factors = ExpertFactors { left: &left, right: &right, rows, rank: *rank, scaling };
                Ok(factors.merge(input, &mut scratch.buffers, bytes))
            }
            ChangeKind::Embedding { a, b, scaling, magnitude } => {
                let (row, rows) = input.rows(b.shape[0]);
                let allow = scratch.allow_non_finite;
                let right = self.0.factors.get(&b.name, || transposed(b, allow))?;
                let mut delta = LowRankDelta::for_embedding(dtype, &right, a, *scaling, magnitude.is_some());
                let factors = self.column_factors(input.tensor, change, allow)?;
                delta.rescale = factors.as_deref().map_or(DoraScale::None, |f| DoraScale::Columns(f));
                read_columns(a, row, rows, scratch)?;
                Ok(delta.merge(&scratch.factor, &mut scratch.buffers, input.before, bytes))
            }
            ChangeKind::TokenRows { rows, values } => replace_rows(input, rows, values, scratch, bytes),
            ChangeKind::Replace(_) => {
                bytes.copy_from_slice(input.before);
                Ok(MergeEffect::Zero)
            }
            ChangeKind::LoraBias { values, scaling } => add_vector(input, values, *scaling, scratch, bytes),
        }
    }

    /// DoRA's factor for each column of an embedding; `None` for other changes.
    pub(super) fn column_factors(
        &self,
        tensor: usize,
        change: &ChangeKind,
        allow_non_finite: bool,
    ) -> Result<Option<Arc<Vec<f32>>>> {
        let ChangeKind::Embedding { a, b, scaling, magnitude: Some(magnitude) } = change else {
            return Ok(None);
        };
        let dtype = self.tensors()[tensor].info.dtype;
        let right = self.0.factors.get(&b.name, || transposed(b, allow_non_finite))?;
        let delta = LowRankDelta::for_embedding(dtype, &right, a, *scaling, true);
        let factors = || self.computed_column_factors(tensor, &delta, (a, magnitude), allow_non_finite);
        self.0.factors.get(&magnitude.name, factors).map(Some)
    }

    /// Magnitude / ‖column of the sum‖. Columns span the whole tensor, so it is read once more; torch sums their squares row
    /// by row.
    fn computed_column_factors(
        &self,
        tensor: usize,
        delta: &LowRankDelta<'_>,
        (a, magnitude): (&AdapterTensor, &AdapterTensor),
        allow_non_finite: bool,
    ) -> Result<Vec<f32>> {
        const STEP: u64 = 1 << 20;
        let columns = magnitude.length();
        let (mut scratch, mut bytes) = (MergeScratch::default(), Vec::new());
        scratch.allow_non_finite = allow_non_finite;
        let mut squares = vec![0.0_f32; columns as usize];
        let step = (STEP / columns).max(1);
        let all_rows = self.tensors()[tensor].info.shape[0];
        for row in (0..all_rows).step_by(step as usize) {
            let rows = step.min(all_rows - row);
            let range = ElementRange { tensor, first: row * columns, count: rows * columns };
            self.read_start(range, &mut scratch, &mut bytes)?;
            read_columns(a, row, rows, &mut scratch)?;
            delta.sum(&scratch.factor, &mut scratch.buffers, &bytes);
            for row in scratch.buffers.weights.chunks_exact(columns as usize) {
                squares.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * w);
            }
        }
        let magnitudes = read_all(magnitude, allow_non_finite)?;
        Ok(magnitudes.iter().zip(squares).map(|(magnitude, square)| magnitude / square.sqrt()).collect())
    }
}

/// Whether these are the values of a limit of a module that clips its input or output, and none of them is NaN.
fn is_clip_limit(tensor: &TensorInfo, bytes: &[u8]) -> bool {
    if !is_clip_limit_name(&tensor.name) {
        return false;
    }
    let mut values = vec![0.0; bytes.len() / tensor.dtype.bytes() as usize];
    tensor.dtype.widen(bytes, &mut values);
    !values.iter().any(|value| value.is_nan())
}

/// Reads values of the adapter, and refuses NaN and infinity.
fn read_adapter(
    stored: &AdapterTensor,
    (first, count): (u64, u64),
    allow_non_finite: bool,
    raw: &mut Vec<u8>,
    values: &mut Vec<f32>,
) -> Result<()> {
    stored.read(first, count, raw, values)?;
    if allow_non_finite { Ok(()) } else { stored.check_finite(first, values) }
}

/// Reads `rows` columns of A from `first` on into `factor`, as rows of `rank`.
fn read_columns(a: &AdapterTensor, first: u64, rows: u64, scratch: &mut MergeScratch) -> Result<()> {
    let (rank, columns) = (a.shape[0], a.shape[1]);
    resize::values(&mut scratch.factor, (rows * rank) as usize);
    for k in 0..rank {
        let range = (k * columns + first, rows);
        read_adapter(a, range, scratch.allow_non_finite, &mut scratch.raw, &mut scratch.vector)?;
        for (row, value) in scratch.factor.chunks_exact_mut(rank as usize).zip(&scratch.vector) {
            row[k as usize] = *value;
        }
    }
    Ok(())
}

fn replace_rows(
    input: ChangeInput<'_>,
    rows: &[u64],
    values: &AdapterTensor,
    scratch: &mut MergeScratch,
    bytes: &mut [u8],
) -> Result<MergeEffect> {
    bytes.copy_from_slice(input.before);
    let columns = values.shape[1];
    let (start, count) = input.rows(columns);
    let width = (columns * input.dtype.bytes()) as usize;
    let mut effect = MergeEffect::Zero;
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| (start..start + count).contains(*row)) {
        let range = (number as u64 * columns, columns);
        let (raw, weights) = (&mut scratch.raw, &mut scratch.buffers.weights);
        read_adapter(values, range, scratch.allow_non_finite, raw, weights)?;
        let offset = (row - start) as usize * width;
        let (before, after) = (&input.before[offset..][..width], &mut bytes[offset..][..width]);
        effect = effect.max(store(input.dtype, &scratch.buffers.weights, before, after));
    }
    // a row that is listed and was never trained is no loss
    Ok(if effect == MergeEffect::Lost { MergeEffect::Zero } else { effect })
}

fn add_vector(
    input: ChangeInput<'_>,
    values: &AdapterTensor,
    scaling: f32,
    scratch: &mut MergeScratch,
    bytes: &mut [u8],
) -> Result<MergeEffect> {
    let count = bytes.len() as u64 / input.dtype.bytes();
    let range = (input.first, count);
    read_adapter(values, range, scratch.allow_non_finite, &mut scratch.raw, &mut scratch.vector)?;
    if scaling == 0.0 || is_zero(&scratch.vector) {
        bytes.copy_from_slice(input.before);
        return Ok(MergeEffect::Zero);
    }
    resize::values(&mut scratch.buffers.weights, count as usize);
    input.dtype.widen(input.before, &mut scratch.buffers.weights);
    scratch.buffers.weights.iter_mut().zip(&scratch.vector).for_each(|(w, v)| *w += v * scaling);
    Ok(store(input.dtype, &scratch.buffers.weights, input.before, bytes))
}

/// All values of a factor.
pub(super) fn read_all(stored: &AdapterTensor, allow_non_finite: bool) -> Result<Vec<f32>> {
    let values = stored.read_all()?;
    if !allow_non_finite {
        stored.check_finite(0, &values)?;
    }
    Ok(values)
}

/// The values of a matrix, transposed.
fn transposed(matrix: &AdapterTensor, allow_non_finite: bool) -> Result<Vec<f32>> {
    let values = read_all(matrix, allow_non_finite)?;
    let (rows, columns) = (matrix.shape[0] as usize, matrix.shape[1] as usize);
    Ok((0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect())
}
