//! One layer of a forward pass, with its tensors by their names without `blk.N.`.

use ndarray::{Array1, Array2};

use super::hparams::LayerHparams;
use super::ops::ForwardPass;
use super::weights::{require_shape, vector};
use crate::error::Result;

pub(super) struct DecoderLayer<'a> {
    pub(super) pass: &'a ForwardPass<'a>,
    /// From 0.
    pub(super) number: usize,
}

impl DecoderLayer<'_> {
    pub(super) fn hparams(&self) -> &LayerHparams {
        &self.pass.hparams.layers[self.number]
    }

    /// A tensor's full name. `.weight` is added to names without a dot.
    pub(super) fn tensor_name(&self, part: &str) -> String {
        let suffix = if part.contains('.') { "" } else { ".weight" };
        format!("blk.{}.{part}{suffix}", self.number)
    }

    pub(super) fn has(&self, part: &str) -> bool {
        self.pass.weights.shape(&self.tensor_name(part)).is_some()
    }

    /// The rows of a matrix, which are the columns of its products.
    pub(super) fn out_features(&self, part: &str) -> Result<usize> {
        require_shape(self.pass.weights, &self.tensor_name(part)).map(|(rows, _)| rows)
    }

    pub(super) fn vector(&self, part: &str, length: usize) -> Result<Option<Array1<f32>>> {
        vector(self.pass.weights, &self.tensor_name(part), length)
    }

    pub(super) fn linear(&self, part: &str, out_features: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
        self.pass.linear(&self.tensor_name(part), out_features, x)
    }

    pub(super) fn norm(&self, part: &str, x: &Array2<f32>) -> Result<Array2<f32>> {
        self.pass.norm(&self.tensor_name(part), x)
    }

    pub(super) fn optional_norm(&self, part: &str, x: Array2<f32>) -> Result<Array2<f32>> {
        self.pass.optional_norm(&self.tensor_name(part), x)
    }
}
