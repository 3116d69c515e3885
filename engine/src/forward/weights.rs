//! Weights by their GGUF names, from a file or a checkpoint.

use std::borrow::Cow;
use std::iter::StepBy;
use std::ops::Range;

use ndarray::{Array1, Array2};

use crate::error::{Error, Result};
use crate::progress::RunOptions;

/// A model's weights as f32, read a chunk of rows at a time.
pub(super) trait WeightSource: Send + Sync {
    /// Rows and columns of a tensor. A vector is one row; the rows of stacked matrices follow each other.
    fn shape(&self, name: &str) -> Option<(usize, usize)>;

    /// `count` rows from `first` on. Norms are factors: 1 is added to those that are stored without it.
    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>>;

    /// Where they are read from, for error messages.
    fn location(&self) -> &str;
}

/// Some rows of a tensor.
pub(super) struct RowRange<'a> {
    pub(super) tensor: &'a str,
    pub(super) rows: Range<usize>,
    /// The columns that the tensor must have.
    pub(super) columns: usize,
}

/// Rows and columns of a tensor that the model requires.
pub(super) fn require_shape(weights: &dyn WeightSource, name: &str) -> Result<(usize, usize)> {
    let missing = || Error::invalid(weights.location(), format!("has no readable tensor {name}"));
    weights.shape(name).ok_or_else(missing)
}

/// A vector of this length, if the model has it.
pub(super) fn vector(weights: &dyn WeightSource, name: &str, length: usize) -> Result<Option<Array1<f32>>> {
    match weights.shape(name) {
        None => Ok(None),
        Some(shape) if shape == (1, length) => Ok(Some(weights.rows(name, 0, 1)?.row(0).to_owned())),
        Some(shape) => Err(shape_mismatch(weights, name, shape, (1, length))),
    }
}

/// A row of a matrix.
pub(super) fn row(weights: &dyn WeightSource, name: &str, number: usize) -> Result<Array1<f32>> {
    let (rows, columns) = require_shape(weights, name)?;
    if number >= rows {
        return Err(shape_mismatch(weights, name, (rows, columns), (number + 1, columns)));
    }
    Ok(weights.rows(name, number, 1)?.row(0).to_owned())
}

/// The values of rows, one row after the other.
pub(super) fn values(rows: &Array2<f32>) -> Cow<'_, [f32]> {
    let copied = || Cow::Owned(rows.iter().copied().collect());
    rows.as_slice().map_or_else(copied, Cow::Borrowed)
}

/// Chunks of some rows.
pub(super) struct RowChunks<'a> {
    weights: &'a dyn WeightSource,
    range: RowRange<'a>,
    run: &'a RunOptions<'a>,
    /// The rows of a chunk; the last one may have fewer.
    pub(super) step: usize,
}

impl<'a> RowChunks<'a> {
    pub(super) fn new(
        weights: &'a dyn WeightSource,
        range: RowRange<'a>,
        run: &'a RunOptions<'a>,
    ) -> Result<Self> {
        let RowRange { tensor, rows, columns } = &range;
        let shape = require_shape(weights, tensor)?;
        if rows.end > shape.0 || *columns != shape.1 {
            return Err(shape_mismatch(weights, tensor, shape, (rows.end, *columns)));
        }
        // most weights are stored in 16 bits
        let step = (run.chunk_size as usize / 2 / columns.max(&1)).max(1);
        Ok(Self { weights, range, run, step })
    }

    /// The number of the first row of each.
    pub(super) fn starts(&self) -> StepBy<Range<usize>> {
        self.range.rows.clone().step_by(self.step)
    }

    /// The rows of the chunk that starts at that row.
    pub(super) fn read(&self, first: usize) -> Result<Array2<f32>> {
        if self.run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        self.weights.rows(self.range.tensor, first, self.step.min(self.range.rows.end - first))
    }
}

/// The error for a tensor whose shape contradicts the other tensors or the hyperparameters.
pub(super) fn shape_mismatch(
    weights: &dyn WeightSource,
    name: &str,
    (rows, columns): (usize, usize),
    (expected_rows, expected_columns): (usize, usize),
) -> Error {
    let problem = format!("is {rows} × {columns}, but the model needs {expected_rows} × {expected_columns}");
    Error::tensor(weights.location(), name, problem)
}
