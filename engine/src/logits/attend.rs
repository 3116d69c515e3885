//! A layer's attention: its queries, keys and values.

use ndarray::Array2;

use super::attention;
use super::block::Block;
use crate::Result;

/// What a layer's attention makes of tokens that are normed already, with the norm that follows it.
pub(super) fn attend(block: &Block<'_>, x: &Array2<f32>) -> Result<Array2<f32>> {
    let (pass, layer) = (block.pass, block.layer());
    let query = turned(block, "attn_q_norm", heads(block, "attn_q", pass.hyper.heads, x)?)?;
    let key = turned(block, "attn_k_norm", heads(block, "attn_k", layer.key_value_heads, x)?)?;
    let value = heads(block, "attn_v", layer.key_value_heads, x)?;
    let mixed = attention::mix(pass.hyper, layer, pass.lengths(), &query, &key, &value);
    block.norm_if("post_attention_norm", block.linear("attn_output", x.ncols(), &mixed)?)
}

/// A projection into this many heads.
fn heads(block: &Block<'_>, part: &str, count: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
    block.linear(part, count * block.layer().head_dim, x)
}

/// Queries or keys, normed and at their positions.
fn turned(block: &Block<'_>, norm: &str, x: Array2<f32>) -> Result<Array2<f32>> {
    let (pass, layer) = (block.pass, block.layer());
    let mut x = pass.norm_parts(&block.name(norm), layer.head_dim, x)?;
    attention::rotate(layer, pass.lengths(), &mut x);
    Ok(x)
}
