//! One layer of a pass: its tensors by what they are called in it.

use ndarray::{Array1, Array2};

use super::hparams::LayerHparams;
use super::linear::ForwardPass;
use super::weights::{need, vector};
use crate::error::Result;

pub(super) struct DecoderLayer<'a> {
    pub(super) pass: &'a ForwardPass<'a>,
    pub(super) number: usize,
}

impl DecoderLayer<'_> {
    pub(super) fn layer(&self) -> &LayerHparams {
        &self.pass.hyper.layers[self.number]
    }

    /// A name with a point in it is whole, others lack `.weight`.
    pub(super) fn name(&self, part: &str) -> String {
        let kind = if part.contains('.') { "" } else { ".weight" };
        format!("blk.{}.{part}{kind}", self.number)
    }

    pub(super) fn has(&self, part: &str) -> bool {
        self.pass.weights.shape(&self.name(part)).is_some()
    }

    /// How many rows a matrix has, which is how wide its products are.
    pub(super) fn width(&self, part: &str) -> Result<usize> {
        need(self.pass.weights, &self.name(part)).map(|(rows, _)| rows)
    }

    pub(super) fn vector(&self, part: &str, length: usize) -> Result<Option<Array1<f32>>> {
        vector(self.pass.weights, &self.name(part), length)
    }

    pub(super) fn linear(&self, part: &str, width: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
        self.pass.linear(&self.name(part), width, x)
    }

    pub(super) fn norm(&self, part: &str, x: &Array2<f32>) -> Result<Array2<f32>> {
        self.pass.norm(&self.name(part), x)
    }

    pub(super) fn norm_if(&self, part: &str, x: Array2<f32>) -> Result<Array2<f32>> {
        self.pass.norm_if(&self.name(part), x)
    }
}
