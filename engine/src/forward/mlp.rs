//! A layer's feed-forward network, and its experts.

use ndarray::{Array2, Axis};

use super::decoder_layer::DecoderLayer;
use super::experts;
use super::ops::gelu;
use crate::error::Result;

/// A layer's feed-forward network and experts, with the norms before and after them.
pub(super) fn feed_forward(layer: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let mut out = mlp(layer, &layer.norm("ffn_norm", x)?)?;
    if layer.has("ffn_gate_inp") {
        out = layer.norm("post_ffw_norm_1", &out)?;
        let experts = experts::experts(layer, x, &layer.norm("pre_ffw_norm_2", x)?)?;
        out += &layer.norm("post_ffw_norm_2", &experts)?;
    }
    layer.optional_norm("post_ffw_norm", out)
}

fn mlp(layer: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let intermediate_size = layer.out_features("ffn_gate")?;
    let mut gate = layer.linear("ffn_gate", intermediate_size, x)?;
    if let Some(scale) = layer.hparams().activation_sparsity_scale {
        gaussian_topk(&mut gate, scale);
    }
    let up = layer.linear("ffn_up", intermediate_size, x)?;
    layer.linear("ffn_down", x.ncols(), &(gate.mapv_into(gelu) * up))
}

/// Subtracts from every row its mean plus `scale` standard deviations, and sets negative values to 0.
fn gaussian_topk(x: &mut Array2<f32>, scale: f32) {
    for mut row in x.axis_iter_mut(Axis(0)) {
        let cutoff = row.mean().unwrap_or(0.0) + row.std(0.0) * scale;
        row.mapv_inplace(|x| (x - cutoff).max(0.0));
    }
}
