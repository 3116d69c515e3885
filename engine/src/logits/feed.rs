//! A layer's feed-forward network.

use ndarray::Array2;

use super::block::Block;
use super::pass::gelu;
use crate::Result;

/// What a layer's network makes of every token, with its norms.
pub(super) fn feed(block: &Block<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let fed = dense(block, &block.norm("ffn_norm", x)?)?;
    block.norm_if("post_ffw_norm", fed)
}

fn dense(block: &Block<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let width = block.width("ffn_gate")?;
    let gate = block.linear("ffn_gate", width, x)?;
    let up = block.linear("ffn_up", width, x)?;
    block.linear("ffn_down", x.ncols(), &(gate.mapv_into(gelu) * up))
}
