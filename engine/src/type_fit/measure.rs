//! The error of each matrix in each type, on some of its rows. That of the head counts as much as those of a matrix of every layer.

use std::collections::HashSet;

use kernels::error_stats::weighted_squares;
use kernels::quant::TensorType;

use super::choice::TypeChoice;
use crate::convert::PlannedMatrix;
use crate::error::{Error, Result};
use crate::forward::in_parallel;
use crate::gemma::Architecture;
use crate::merge::{ElementRange, MergeScratch, MergedChunk, Model};
use crate::progress::{ProgressUpdate, RunOptions, Stage};

/// The elements of a matrix that are measured, in rows from all over it.
const SAMPLED_ELEMENTS: u64 = 1 << 17;
/// Groups of neighboring rows, each of which is read at once: reads of an object store take long.
const GROUPS: u64 = 8;

/// Encodes a row in a type.
type Encode = fn(TensorType, &[f32], Option<&[f32]>, &mut [u8]);

/// The types that each matrix can have. Those `on_grid` are encoded with the steps of their grid in Q4_0.
pub(super) fn choices(
    model: &Model,
    matrices: &[PlannedMatrix<'_>],
    on_grid: &HashSet<&str>,
    run: &RunOptions<'_>,
) -> Result<Vec<Vec<TypeChoice>>> {
    let total: u64 = matrices.iter().map(|matrix| matrix.elements).sum();
    let head = Head::of(model, matrices)?;
    let (mut measured, mut done) = (Vec::new(), 0);
    for side_by_side in matrices.chunks(run.threads()) {
        if run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        measured.extend(in_parallel(side_by_side.iter(), run, |matrix| {
            of_matrix(model, matrix, on_grid.contains(matrix.name), head.weight(matrix.name))
        })?);
        done += side_by_side.iter().map(|matrix| matrix.elements).sum::<u64>();
        run.progress.report(ProgressUpdate { stage: Stage::Fitting, done, total });
    }
    Ok(measured)
}

/// The matrix that makes logits, and how much its error counts.
pub(super) struct Head {
    name: Option<&'static str>,
    weight: f64,
}

impl Head {
    /// What an error counts at least: with two layers, 4 keeps more than 2 of the fine-tune of the fixtures.
    const LEAST: f64 = 4.0;

    /// The relative error of the head is in the logits as a whole, that of a layer's matrix in what one of the layers adds to the
    /// residual stream. An embedding model has no head.
    pub(super) fn of(model: &Model, matrices: &[PlannedMatrix<'_>]) -> Result<Self> {
        let config = model.base().config();
        let has_head = Architecture::of(config)? != Architecture::GemmaEmbedding;
        let is_tied = !matrices.iter().any(|matrix| matrix.name == "output.weight");
        let name = has_head.then_some(if is_tied { "token_embd.weight" } else { "output.weight" });
        let layers = config.u32("num_hidden_layers")?.unwrap_or(0);
        Ok(Self { name, weight: f64::from(layers).max(Self::LEAST) })
    }

    pub(super) fn weight(&self, matrix: &str) -> f64 {
        if self.name == Some(matrix) { self.weight } else { 1.0 }
    }
}

fn of_matrix(
    model: &Model,
    matrix: &PlannedMatrix<'_>,
    on_grid: bool,
    weight: f64,
) -> Result<Vec<TypeChoice>> {
    let rows = sampled_rows(model, matrix)?;
    let encode = if on_grid { TensorType::encode_on_grid } else { TensorType::encode };
    let fits = |as_type: &TensorType| matrix.columns.is_multiple_of(as_type.block_size());
    let types = TensorType::ALL.into_iter().filter(fits);
    Ok(types
        .map(|as_type| TypeChoice {
            as_type,
            bytes: matrix.padded_bytes(as_type),
            error: weight * rows.error(as_type, encode, matrix),
        })
        .collect())
}

/// Some rows of a merged matrix.
struct SampledRows {
    /// Each with its number in the tensor of the file.
    rows: Vec<(u64, Vec<f32>)>,
}

fn sampled_rows(model: &Model, matrix: &PlannedMatrix<'_>) -> Result<SampledRows> {
    let count = (matrix.elements / matrix.columns).max(1);
    let sampled = (SAMPLED_ELEMENTS / matrix.columns).clamp(1, count);
    let groups = GROUPS.min(sampled);
    let dtype = model.tensors()[matrix.tensor].info.dtype;
    let (mut scratch, mut chunk) = (MergeScratch::with_non_finite(), MergedChunk::default());
    let mut rows = Vec::with_capacity(sampled as usize);
    for group in 0..groups {
        let (first, end) = (group * count / groups, (group + 1) * count / groups);
        let in_group = (sampled * (group + 1) / groups - sampled * group / groups).min(end - first);
        let elements = in_group * matrix.columns;
        let range = ElementRange { tensor: matrix.tensor, first: first * matrix.columns, count: elements };
        model.read(range, &mut scratch, &mut chunk)?;
        let mut values = vec![0.0; elements as usize];
        dtype.widen(chunk.stored(), &mut values);
        rows.extend((first..).zip(values.chunks_exact(matrix.columns as usize).map(<[f32]>::to_vec)));
    }
    Ok(SampledRows { rows })
}

impl SampledRows {
    /// The squared error relative to the squares of the weights, both weighted by the importance of their columns.
    fn error(&self, as_type: TensorType, encode: Encode, matrix: &PlannedMatrix<'_>) -> f64 {
        let mut bytes = vec![0; as_type.bytes(matrix.columns) as usize];
        let mut decoded = vec![0.0; matrix.columns as usize];
        let (mut error, mut size) = (0.0, 0.0);
        for (row, values) in &self.rows {
            let importance = matrix.importance.map(|importance| importance.for_row(*row));
            encode(as_type, values, importance, &mut bytes);
            as_type.decode(&bytes, &mut decoded);
            let of_row = weighted_squares(values, &decoded, importance);
            error += of_row.0;
            size += of_row.1;
        }
        if size > 0.0 { error / size } else { 0.0 }
    }
}
