//! Weights by their GGUF names, wherever they come from.

use ndarray::{Array1, Array2};

use crate::pipeline::Run;
use crate::{Error, Result};

/// A model's weights, widened, a block of rows at a time.
pub(super) trait Weights {
    /// Rows and columns of a tensor; a vector is one row.
    fn shape(&self, name: &str) -> Option<(usize, usize)>;

    /// `count` rows from `first` on. Norms are factors: 1 is added to those that are stored without.
    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>>;

    /// Where they are, for error messages.
    fn location(&self) -> &str;
}

/// Elements read at a time.
const BLOCK: usize = 1 << 22;

/// The shape of a tensor that must be there.
pub(super) fn need(weights: &dyn Weights, name: &str) -> Result<(usize, usize)> {
    let missing = || Error::invalid(weights.location(), format!("has no tensor {name}"));
    weights.shape(name).ok_or_else(missing)
}

/// A vector, if the model has it.
pub(super) fn vector(weights: &dyn Weights, name: &str) -> Result<Option<Array1<f32>>> {
    if weights.shape(name).is_none() {
        return Ok(None);
    }
    Ok(Some(weights.rows(name, 0, 1)?.row(0).to_owned()))
}

/// Calls `each` with the first row and the rows of every block of a tensor.
pub(super) fn blocks(
    weights: &dyn Weights,
    name: &str,
    rows: usize,
    run: &Run<'_>,
    mut each: impl FnMut(usize, Array2<f32>),
) -> Result<()> {
    let (_, columns) = need(weights, name)?;
    let step = (BLOCK / columns.max(1)).max(1);
    for first in (0..rows).step_by(step) {
        if run.progress.cancelled() {
            return Err(Error::Cancelled);
        }
        each(first, weights.rows(name, first, step.min(rows - first))?);
    }
    Ok(())
}
