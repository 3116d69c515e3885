//! Gemma 1 (`GemmaForCausalLM`).

use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

/// A layer's modules.
pub(super) const NAMES: TensorNameMap = TensorNameMap::layers(&[
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
]);

/// `GemmaConfig`'s value where `config.json` has none.
const KEY_VALUE_HEADS: u32 = 16;

pub(super) fn parameters(config: &ModelConfig, file_type: u32, out: &mut GgufMetadata) -> Result<()> {
    common(config, file_type, KEY_VALUE_HEADS, out)
}

/// What Gemma 1 and Gemma 2 begin with. Neither has a key for RoPE: llama.cpp knows their base frequency.
pub(super) fn common(
    config: &ModelConfig,
    file_type: u32,
    key_value_heads: u32,
    out: &mut GgufMetadata,
) -> Result<()> {
    refuse_rope_scaling(config)?;
    let head_dim = config.u32("head_dim")?.unwrap_or(256);
    out.own("context_length", config.u32("max_position_embeddings")?.unwrap_or(8192));
    out.own("embedding_length", config.need_u32("hidden_size")?);
    out.own("block_count", config.need_u32("num_hidden_layers")?);
    out.own("feed_forward_length", config.need_u32("intermediate_size")?);
    out.own("attention.head_count", config.need_u32("num_attention_heads")?);
    out.own("attention.head_count_kv", config.u32("num_key_value_heads")?.unwrap_or(key_value_heads));
    out.own("attention.layer_norm_rms_epsilon", config.f32("rms_norm_eps")?.unwrap_or(1e-6));
    out.own("attention.key_length", head_dim);
    out.own("attention.value_length", head_dim);
    out.set("general.file_type", file_type);
    Ok(())
}

/// A stretched context has no place in the file, so that a model that needs it would silently go wrong.
fn refuse_rope_scaling(config: &ModelConfig) -> Result<()> {
    match config.get("rope_scaling") {
        None => Ok(()),
        Some(scaling) => Err(Error::unsupported(config.file(), format!("GGUF with rope_scaling {scaling}"))),
    }
}
