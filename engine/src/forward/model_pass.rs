//! A model layer by layer, over all prompts at once.

use ndarray::Array2;

use super::altup;
use super::decoder_layer::DecoderLayer;
use super::hparams::HyperParameters;
use super::linear::ForwardPass;
use super::mlp::feed;
use super::per_layer_embedding::PerLayerInputs;
use super::self_attention::{KvCache, attend};
use super::weights::WeightSource;
use crate::error::Result;
use crate::progress::RunOptions;

/// What the last norm makes of every token of every prompt: a row each, one prompt after the other.
pub(super) fn hidden(
    weights: &dyn WeightSource,
    hyper: &HyperParameters,
    prompts: &[Vec<usize>],
    run: &RunOptions<'_>,
) -> Result<Array2<f32>> {
    let pass = ForwardPass { weights, hyper, prompts, run };
    let x = pass.look_up("token_embd.weight", pass.ids())?;
    let width = x.ncols() as f32;
    let x = x * width.sqrt();
    let inputs = PerLayerInputs::new(&pass, &x)?;
    let x = match hyper.streams {
        Some(streams) => altup::layers(&pass, streams, x, inputs.as_ref())?,
        None => layers(&pass, x, inputs.as_ref())?,
    };
    pass.norm("output_norm.weight", &x)
}

fn layers(
    pass: &ForwardPass<'_>,
    mut x: Array2<f32>,
    inputs: Option<&PerLayerInputs>,
) -> Result<Array2<f32>> {
    let mut kept = KvCache::default();
    for number in 0..pass.hyper.layers.len() {
        let block = DecoderLayer { pass, number };
        x += &attend(&block, &block.norm("attn_norm", &x)?, &mut kept)?;
        x += &feed(&block, &x)?;
        if let Some(inputs) = inputs {
            x += &inputs.mixed(&block, &x)?;
        }
        if let Some(scale) = block.vector("layer_output_scale", 1)? {
            x *= &scale;
        }
    }
    Ok(x)
}
