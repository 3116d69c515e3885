//! Sums of squares of what the matrices of a model's layers are multiplied with, column by column.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ndarray::Array2;

/// The inputs of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorInputs {
    /// Of each of its matrices, the number of inputs.
    pub(crate) counts: Vec<u64>,
    /// Of each column of each matrix, the sum of the squares.
    pub(crate) sums: Vec<f64>,
}

/// The inputs of each tensor of the layers, by its GGUF name.
#[derive(Debug, Default)]
pub(crate) struct InputSums(RefCell<BTreeMap<String, TensorInputs>>);

/// A matrix of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct StackPosition {
    pub(super) number: usize,
    /// How many matrices the tensor has.
    pub(super) count: usize,
}

impl InputSums {
    /// Adds the rows of `x`, with which a matrix is multiplied.
    pub(super) fn add(&self, tensor: &str, matrix: StackPosition, x: &Array2<f32>) {
        if !tensor.starts_with("blk.") {
            return;
        }
        let columns = x.ncols();
        let mut tensors = self.0.borrow_mut();
        let inputs = tensors.entry(tensor.to_owned()).or_insert_with(|| TensorInputs {
            counts: vec![0; matrix.count],
            sums: vec![0.0; matrix.count * columns],
        });
        inputs.counts[matrix.number] += x.nrows() as u64;
        let sums = &mut inputs.sums[matrix.number * columns..(matrix.number + 1) * columns];
        for row in x.rows() {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value * value);
            }
        }
    }

    /// Adds the sums of another text.
    pub(crate) fn join(&self, other: Self) {
        let mut tensors = self.0.borrow_mut();
        for (tensor, inputs) in other.0.into_inner() {
            match tensors.get_mut(&tensor) {
                None => _ = tensors.insert(tensor, inputs),
                Some(known) => {
                    known.counts.iter_mut().zip(inputs.counts).for_each(|(count, more)| *count += more);
                    known.sums.iter_mut().zip(inputs.sums).for_each(|(sum, more)| *sum += more);
                }
            }
        }
    }

    /// Each tensor with its inputs, by name.
    pub(crate) fn into_tensors(self) -> BTreeMap<String, TensorInputs> {
        self.0.into_inner()
    }
}
