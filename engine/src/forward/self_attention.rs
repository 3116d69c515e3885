//! A layer's attention: its queries, and its own keys and values or those of a layer before it.

use ndarray::Array2;

use super::attention::{GroupedAttention, apply_rope};
use super::decoder_layer::DecoderLayer;
use super::kv_cache::{KeysAndValues, KvCache};
use super::weights::vector;
use crate::error::{Error, Result};

/// A layer's attention for normalized tokens, with the norm that follows it.
pub(super) fn self_attention(
    layer: &DecoderLayer<'_>,
    x: &Array2<f32>,
    cache: &mut KvCache,
) -> Result<Array2<f32>> {
    let (pass, hparams) = (layer.pass, layer.hparams());
    let query = project(layer, "attn_q", pass.hparams.attention_heads, x)?;
    let query = norm_and_rope(layer, "attn_q_norm", query)?;
    let spans = pass.spans();
    let is_sliding = hparams.sliding_window.is_some();
    if !hparams.shares_kv {
        cache.append(layer.number, is_sliding, &spans, keys_and_values(layer, x)?);
    }
    let columns = hparams.key_value_heads * hparams.head_dim;
    let Some((key, value)) = cache.last(is_sliding).filter(|(key, _)| key.ncols() == columns) else {
        let problem = format!("has no layer whose keys and values layer {} could share", layer.number);
        return Err(Error::invalid(pass.weights.location(), problem));
    };
    let attention = GroupedAttention { model: pass.hparams, layer: hparams, query: &query, key, value };
    let out = layer.linear("attn_output", x.ncols(), &attention.output(&spans))?;
    layer.optional_norm("post_attention_norm", out)
}

/// A layer of Gemma 4 without `attn_v` uses its keys, before their norm, as values.
fn keys_and_values(layer: &DecoderLayer<'_>, x: &Array2<f32>) -> Result<KeysAndValues> {
    let (hparams, normalizes_values) = (layer.hparams(), layer.pass.hparams.normalizes_values);
    let key = project(layer, "attn_k", hparams.key_value_heads, x)?;
    let has_values = layer.has("attn_v") || !normalizes_values;
    let mut value =
        if has_values { project(layer, "attn_v", hparams.key_value_heads, x)? } else { key.clone() };
    if normalizes_values {
        layer.pass.norm_by_size(hparams.head_dim, &mut value, None);
    }
    Ok((norm_and_rope(layer, "attn_k_norm", key)?, value))
}

/// A projection into this many heads.
fn project(layer: &DecoderLayer<'_>, part: &str, heads: usize, x: &Array2<f32>) -> Result<Array2<f32>> {
    layer.linear(part, heads * layer.hparams().head_dim, x)
}

/// Queries or keys with their norm and RoPE. Frequency factors apply to global attention only.
fn norm_and_rope(layer: &DecoderLayer<'_>, norm: &str, x: Array2<f32>) -> Result<Array2<f32>> {
    let (pass, hparams) = (layer.pass, layer.hparams());
    let mut x = pass.optional_norm_by_size(&layer.tensor_name(norm), hparams.head_dim, x)?;
    let rope_freq_factors = match hparams.sliding_window {
        Some(_) => None,
        None => vector(pass.weights, "rope_freqs.weight", hparams.head_dim / 2)?,
    };
    apply_rope(hparams, rope_freq_factors.as_ref(), &pass.spans(), &mut x);
    Ok(x)
}
