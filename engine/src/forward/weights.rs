//! Weights by their GGUF names, wherever they come from.

use std::ops::Range;

use ndarray::{Array1, Array2};

use crate::error::{Error, Result};
use crate::progress::RunOptions;

/// A model's weights, widened, a block of rows at a time.
pub(super) trait WeightSource {
    /// Rows and columns of a tensor; a vector is one row, matrices in a stack lie one below the other.
    fn shape(&self, name: &str) -> Option<(usize, usize)>;

    /// `count` rows from `first` on. Norms are factors: 1 is added to those that are stored without.
    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>>;

    /// Where they are, for error messages.
    fn location(&self) -> &str;
}

/// Elements read at a time.
const BLOCK: usize = 1 << 22;

/// The shape of a tensor that must be there.
pub(super) fn need(weights: &dyn WeightSource, name: &str) -> Result<(usize, usize)> {
    let missing = || Error::invalid(weights.location(), format!("has no tensor {name} that can be read"));
    weights.shape(name).ok_or_else(missing)
}

/// A vector of this length, if the model has it.
pub(super) fn vector(weights: &dyn WeightSource, name: &str, length: usize) -> Result<Option<Array1<f32>>> {
    match weights.shape(name) {
        None => Ok(None),
        Some(shape) if shape == (1, length) => Ok(Some(weights.rows(name, 0, 1)?.row(0).to_owned())),
        Some(shape) => Err(unfit(weights, name, shape, (1, length))),
    }
}

/// A row of a table.
pub(super) fn row(weights: &dyn WeightSource, name: &str, number: usize) -> Result<Array1<f32>> {
    let (rows, columns) = need(weights, name)?;
    if number >= rows {
        return Err(unfit(weights, name, (rows, columns), (number + 1, columns)));
    }
    Ok(weights.rows(name, number, 1)?.row(0).to_owned())
}

/// Calls `each` with the first row and the rows of every block of some rows of a tensor that has this many columns.
pub(super) fn blocks(
    weights: &dyn WeightSource,
    name: &str,
    rows: Range<usize>,
    columns: usize,
    run: &RunOptions<'_>,
    mut each: impl FnMut(usize, Array2<f32>),
) -> Result<()> {
    let shape = need(weights, name)?;
    if rows.end > shape.0 || columns != shape.1 {
        return Err(unfit(weights, name, shape, (rows.end, columns)));
    }
    let step = (BLOCK / columns.max(1)).max(1);
    for first in rows.clone().step_by(step) {
        if run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        each(first, weights.rows(name, first, step.min(rows.end - first))?);
    }
    Ok(())
}

/// A tensor that does not go with the others, or with the parameters.
pub(super) fn unfit(
    weights: &dyn WeightSource,
    name: &str,
    (rows, columns): (usize, usize),
    (wanted_rows, wanted_columns): (usize, usize),
) -> Error {
    let problem = format!("is {rows} × {columns} where the model needs {wanted_rows} × {wanted_columns}");
    Error::tensor(weights.location(), name, problem)
}
