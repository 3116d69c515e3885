//! Operations of the forward pass on streamed weights: embedding rows, linear layers, RMSNorm, GELU.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayViewMut2, Axis};

use super::hparams::ModelHparams;
use super::input_sums::{InputSums, StackPosition};
use super::matrix_product::multiply_into;
use super::parallel::in_parallel;
use super::weights::{RowChunks, RowRange, WeightSource, require_shape, row, shape_mismatch, vector};
use crate::error::{Error, Result};
use crate::progress::RunOptions;

pub(super) struct ForwardPass<'a> {
    pub(super) weights: &'a dyn WeightSource,
    pub(super) hparams: &'a ModelHparams,
    /// Token ids of each sequence: all, or those after the `past` ones.
    pub(super) tokens: &'a [Vec<usize>],
    /// How many tokens of each sequence earlier passes computed; empty if none.
    pub(super) past: &'a [usize],
    /// What receives the inputs of the layers' matrices, if anything does.
    pub(super) input_sums: Option<&'a InputSums>,
    pub(super) run: &'a RunOptions<'a>,
}

/// The tokens of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenSpan {
    /// Those of earlier passes.
    pub(super) past: usize,
    /// Those of this pass.
    pub(super) new: usize,
}

impl ForwardPass<'_> {
    /// The ids of all tokens, sequence after sequence. The rows of all hidden states have this order.
    pub(super) fn ids(&self) -> impl Iterator<Item = usize> {
        self.tokens.iter().flatten().copied()
    }

    /// The numbers of tokens of each sequence.
    pub(super) fn spans(&self) -> Vec<TokenSpan> {
        let past = self.past.iter().copied().chain(std::iter::repeat(0));
        self.tokens.iter().zip(past).map(|(tokens, past)| TokenSpan { past, new: tokens.len() }).collect()
    }

    /// The rows of an embedding for these ids.
    pub(super) fn embed(&self, name: &str, ids: impl Iterator<Item = usize>) -> Result<Array2<f32>> {
        let (_, columns) = require_shape(self.weights, name)?;
        let mut x = Array2::zeros((0, columns));
        for id in ids {
            let row = row(self.weights, name, id)?;
            x.push_row(row.view())
                .map_err(|e| Error::tensor(self.weights.location(), name, e.to_string()))?;
        }
        Ok(x)
    }

    /// x·Wᵀ with a W of `out_features` rows, and the bias if there is one.
    pub(super) fn linear(&self, name: &str, out_features: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
        let shape = require_shape(self.weights, name)?;
        if shape.0 != out_features {
            return Err(shape_mismatch(self.weights, name, shape, (out_features, x.ncols())));
        }
        let out = self.product(name, 0..out_features, x)?;
        match vector(self.weights, &name.replace(".weight", ".bias"), out_features)? {
            Some(bias) => Ok(out + bias),
            None => Ok(out),
        }
    }

    /// x·Wᵀ with some rows of W, such as one matrix of a stack.
    pub(super) fn product(&self, name: &str, rows: Range<usize>, x: &Array2<f32>) -> Result<Array2<f32>> {
        if let Some(sums) = self.input_sums {
            let (stacked, of_one) = (require_shape(self.weights, name)?.0, rows.len().max(1));
            let matrix = StackPosition { number: rows.start / of_one, count: stacked / of_one };
            sums.add(name, matrix, x);
        }
        let mut out = Array2::zeros((x.nrows(), rows.len()));
        let range = RowRange { tensor: name, rows, columns: x.ncols() };
        let chunks = RowChunks::new(self.weights, range, self.run)?;
        let products = out.axis_chunks_iter_mut(Axis(1), chunks.step).zip(chunks.starts());
        in_parallel(products, self.run, |(out, first)| {
            multiply_into(x, &chunks.read(first)?, out);
            Ok(())
        })?;
        Ok(out)
    }

    /// RMSNorm of every row.
    pub(super) fn norm(&self, name: &str, x: &Array2<f32>) -> Result<Array2<f32>> {
        require_shape(self.weights, name)?;
        self.optional_norm(name, x.clone())
    }

    /// RMSNorm of every row, if the model has this norm.
    pub(super) fn optional_norm(&self, name: &str, mut x: Array2<f32>) -> Result<Array2<f32>> {
        if let Some(weight) = vector(self.weights, name, x.ncols())? {
            rms_norm(x.view_mut(), Some(&weight), self.hparams.rms_norm_eps);
        }
        Ok(x)
    }

    /// RMSNorm of every `size` columns of a row by themselves, if the model has this norm.
    pub(super) fn optional_norm_by_size(
        &self,
        name: &str,
        size: usize,
        mut x: Array2<f32>,
    ) -> Result<Array2<f32>> {
        if let Some(weight) = vector(self.weights, name, size)? {
            self.norm_by_size(size, &mut x, Some(&weight));
        }
        Ok(x)
    }

    /// RMSNorm of every `size` columns of a row by themselves.
    pub(super) fn norm_by_size(&self, size: usize, x: &mut Array2<f32>, weight: Option<&Array1<f32>>) {
        for part in x.axis_chunks_iter_mut(Axis(1), size) {
            rms_norm(part, weight, self.hparams.rms_norm_eps);
        }
    }
}

/// Divides every row by its root mean square and multiplies it by the norm's weight.
pub(super) fn rms_norm(mut x: ArrayViewMut2<'_, f32>, weight: Option<&Array1<f32>>, epsilon: f32) {
    for mut row in x.rows_mut() {
        let mean = row.dot(&row) / row.len() as f32;
        if let Some(weight) = weight {
            row *= weight;
        }
        row *= (mean + epsilon).sqrt().recip();
    }
}

/// GELU in the tanh approximation (`gelu_pytorch_tanh`), with which Gemma was trained.
pub(super) fn gelu(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    0.5 * x * (1.0 + (ROOT * (x + 0.044_715 * x * x * x)).tanh())
}
