//! One way through a model: its products and norms.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayViewMut2, Axis, s};

use super::hparams::HyperParameters;
use super::weights::{WeightSource, blocks, need, row, unfit, vector};
use crate::error::{Error, Result};
use crate::progress::RunOptions;

pub(super) struct ForwardPass<'a> {
    pub(super) weights: &'a dyn WeightSource,
    pub(super) hyper: &'a HyperParameters,
    pub(super) prompts: &'a [Vec<usize>],
    pub(super) run: &'a RunOptions<'a>,
}

impl ForwardPass<'_> {
    /// Every token of every prompt: a row each, one prompt after the other.
    pub(super) fn ids(&self) -> impl Iterator<Item = usize> {
        self.prompts.iter().flatten().copied()
    }

    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.prompts.iter().map(Vec::len)
    }

    /// The rows of a table, by number.
    pub(super) fn look_up(&self, name: &str, ids: impl Iterator<Item = usize>) -> Result<Array2<f32>> {
        let (_, columns) = need(self.weights, name)?;
        let mut x = Array2::zeros((0, columns));
        for id in ids {
            let row = row(self.weights, name, id)?;
            x.push_row(row.view())
                .map_err(|e| Error::tensor(self.weights.location(), name, e.to_string()))?;
        }
        Ok(x)
    }

    /// x·Wᵀ of this width, and the bias where there is one.
    pub(super) fn linear(&self, name: &str, width: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
        let shape = need(self.weights, name)?;
        if shape.0 != width {
            return Err(unfit(self.weights, name, shape, (width, x.ncols())));
        }
        let out = self.product(name, 0..width, x)?;
        match vector(self.weights, &name.replace(".weight", ".bias"), width)? {
            Some(bias) => Ok(out + bias),
            None => Ok(out),
        }
    }

    /// x·Wᵀ with some rows of W: one matrix of a stack.
    pub(super) fn product(&self, name: &str, rows: Range<usize>, x: &Array2<f32>) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((x.nrows(), rows.len()));
        let start = rows.start;
        blocks(self.weights, name, rows, x.ncols(), self.run, |first, block| {
            let columns = first - start..first - start + block.nrows();
            out.slice_mut(s![.., columns]).assign(&x.dot(&block.t()));
        })?;
        Ok(out)
    }

    pub(super) fn norm(&self, name: &str, x: &Array2<f32>) -> Result<Array2<f32>> {
        need(self.weights, name)?;
        self.norm_if(name, x.clone())
    }

    /// RMSNorm of every row, where the model has this norm.
    pub(super) fn norm_if(&self, name: &str, mut x: Array2<f32>) -> Result<Array2<f32>> {
        if let Some(factors) = vector(self.weights, name, x.ncols())? {
            rms(x.view_mut(), Some(&factors), self.hyper.epsilon);
        }
        Ok(x)
    }

    /// RMSNorm of every part of so many columns by itself, where the model has this norm.
    pub(super) fn norm_parts(&self, name: &str, size: usize, mut x: Array2<f32>) -> Result<Array2<f32>> {
        if let Some(factors) = vector(self.weights, name, size)? {
            self.rms_parts(size, &mut x, Some(&factors));
        }
        Ok(x)
    }

    pub(super) fn rms_parts(&self, size: usize, x: &mut Array2<f32>, factors: Option<&Array1<f32>>) {
        for part in x.axis_chunks_iter_mut(Axis(1), size) {
            rms(part, factors, self.hyper.epsilon);
        }
    }
}

/// Divides rows by the root of their mean square; a norm's factors come after that.
pub(super) fn rms(mut x: ArrayViewMut2<'_, f32>, factors: Option<&Array1<f32>>, epsilon: f32) {
    for mut row in x.rows_mut() {
        let mean = row.dot(&row) / row.len() as f32;
        if let Some(factors) = factors {
            row *= factors;
        }
        row *= (mean + epsilon).sqrt().recip();
    }
}

/// The approximation by tanh, which Gemma was trained with.
pub(super) fn gelu(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6; // √(2/π)
    0.5 * x * (1.0 + (ROOT * (x + 0.044_715 * x * x * x)).tanh())
}
