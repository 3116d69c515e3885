//! A layer's feed-forward network, and the experts beside it.

use ndarray::{Array2, Axis};

use super::decoder_layer::DecoderLayer;
use super::experts;
use super::linear::gelu;
use crate::error::Result;

/// What a layer's networks make of every token, with their norms.
pub(super) fn feed(block: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let mut fed = dense(block, &block.norm("ffn_norm", x)?)?;
    if block.has("ffn_gate_inp") {
        fed = block.norm("post_ffw_norm_1", &fed)?;
        let chosen = experts::mix(block, x, &block.norm("pre_ffw_norm_2", x)?)?;
        fed += &block.norm("post_ffw_norm_2", &chosen)?;
    }
    block.norm_if("post_ffw_norm", fed)
}

fn dense(block: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let width = block.width("ffn_gate")?;
    let mut gate = block.linear("ffn_gate", width, x)?;
    if let Some(cutoff) = block.layer().cutoff {
        cut(&mut gate, cutoff);
    }
    let up = block.linear("ffn_up", width, x)?;
    block.linear("ffn_down", x.ncols(), &(gate.mapv_into(gelu) * up))
}

/// Keeps of every row what is so many standard deviations above its mean, as far as it is.
fn cut(x: &mut Array2<f32>, cutoff: f32) {
    for mut row in x.axis_iter_mut(Axis(0)) {
        let least = row.mean().unwrap_or(0.0) + row.std(0.0) * cutoff;
        row.mapv_inplace(|x| (x - least).max(0.0));
    }
}
