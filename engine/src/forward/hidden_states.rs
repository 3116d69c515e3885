//! The hidden states of a model, layer by layer, for all sequences at once.

use ndarray::Array2;

use super::altup;
use super::decoder_layer::DecoderLayer;
use super::kv_cache::KvCache;
use super::mlp::feed_forward;
use super::ops::ForwardPass;
use super::per_layer_embedding::PerLayerInputs;
use super::self_attention::self_attention;
use crate::error::Result;

/// The hidden states after the last norm: a row for each token of the pass, sequence after sequence.
pub(super) fn hidden_states(pass: &ForwardPass<'_>, cache: &mut KvCache) -> Result<Array2<f32>> {
    let x = pass.embed("token_embd.weight", pass.ids())?;
    let hidden_size = x.ncols() as f32;
    let x = x * hidden_size.sqrt();
    let inputs = PerLayerInputs::new(pass, &x)?;
    let x = match pass.hparams.altup {
        Some(altup) => altup::decoder_layers(pass, altup, x, inputs.as_ref(), cache)?,
        None => decoder_layers(pass, x, inputs.as_ref(), cache)?,
    };
    pass.norm("output_norm.weight", &x)
}

fn decoder_layers(
    pass: &ForwardPass<'_>,
    mut x: Array2<f32>,
    inputs: Option<&PerLayerInputs>,
    cache: &mut KvCache,
) -> Result<Array2<f32>> {
    for number in 0..pass.hparams.layers.len() {
        let layer = DecoderLayer { pass, number };
        x += &self_attention(&layer, &layer.norm("attn_norm", &x)?, cache)?;
        x += &feed_forward(&layer, &x)?;
        if let Some(inputs) = inputs {
            x += &inputs.gated_projection(&layer, &x)?;
        }
        if let Some(scale) = layer.vector("layer_output_scale", 1)? {
            x *= &scale;
        }
    }
    Ok(x)
}
