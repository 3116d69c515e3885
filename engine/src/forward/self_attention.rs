//! A layer's attention: its queries, and keys and values of its own or of a layer before.

use std::collections::HashMap;

use ndarray::Array2;

use super::attention;
use super::decoder_layer::DecoderLayer;
use super::weights::vector;
use crate::error::{Error, Result};

/// Keys and values.
type KeyValue = (Array2<f32>, Array2<f32>);

/// The last of them, of layers that look back some way (`true`) and of those that look back all the way.
pub(super) type KvCache = HashMap<bool, KeyValue>;

/// What a layer's attention makes of tokens that are normed already, with the norm that follows it.
pub(super) fn attend(block: &DecoderLayer<'_>, x: &Array2<f32>, kept: &mut KvCache) -> Result<Array2<f32>> {
    let (pass, layer) = (block.pass, block.layer());
    let local = layer.window.is_some();
    let query = turned(block, "attn_q_norm", heads(block, "attn_q", pass.hyper.heads, x)?)?;
    if !layer.borrows {
        kept.insert(local, keys_and_values(block, x)?);
    }
    let width = layer.key_value_heads * layer.head_dim;
    let Some((key, value)) = kept.get(&local).filter(|(key, _)| key.ncols() == width) else {
        let problem = format!("has no layer whose keys layer {} could share", block.number);
        return Err(Error::invalid(pass.weights.location(), problem));
    };
    let mixed = attention::mix(pass.hyper, layer, pass.lengths(), &query, key, value);
    block.norm_if("post_attention_norm", block.linear("attn_output", x.ncols(), &mixed)?)
}

/// Where a layer of Gemma 4 has no values, they are its keys as they were before their norm.
fn keys_and_values(block: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<KeyValue> {
    let (layer, norms_values) = (block.layer(), block.pass.hyper.norms_values);
    let key = heads(block, "attn_k", layer.key_value_heads, x)?;
    let own = block.has("attn_v") || !norms_values;
    let mut value = if own { heads(block, "attn_v", layer.key_value_heads, x)? } else { key.clone() };
    if norms_values {
        block.pass.rms_parts(layer.head_dim, &mut value, None);
    }
    Ok((turned(block, "attn_k_norm", key)?, value))
}

/// A projection into this many heads.
fn heads(block: &DecoderLayer<'_>, part: &str, count: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
    block.linear(part, count * block.layer().head_dim, x)
}

/// Queries or keys, normed and at their positions.
fn turned(block: &DecoderLayer<'_>, norm: &str, x: Array2<f32>) -> Result<Array2<f32>> {
    let (pass, layer) = (block.pass, block.layer());
    let mut x = pass.norm_parts(&block.name(norm), layer.head_dim, x)?;
    let brakes = match layer.window {
        Some(_) => None,
        None => vector(pass.weights, "rope_freqs.weight", layer.head_dim / 2)?,
    };
    attention::rotate(layer, brakes.as_ref(), pass.lengths(), &mut x);
    Ok(x)
}
