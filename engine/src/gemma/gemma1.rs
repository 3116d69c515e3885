//! Gemma 1 and CodeGemma (`GemmaForCausalLM`).

use super::attention::AttentionRules;
use super::family::{ConfigDefaults, ModelFamily, ParameterSource, VocabMismatch};
use super::family::{config_count, no_extra_tensors, no_own_tensors};
use super::rope;
use super::tensor_names::TensorNameMap;
use crate::error::Result;
use crate::gguf::GgufMetadata;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma",
    classes: &["GemmaForCausalLM", "gemma"],
    tensor_names: &TensorNameMap::of_layers(&[
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]),
    config_defaults: ConfigDefaults {
        vocab_size: Some(256_000),
        max_position_embeddings: Some(8192),
        num_key_value_heads: Some(16),
        ..ConfigDefaults::REQUIRED
    },
    attention: AttentionRules { has_local_rope: false, ..AttentionRules::with_period(1) },
    norm_shift: 1.0,
    vocab_mismatch: VocabMismatch::Reject,
    has_lm_head: false,
    target_mask_token: None,
    parameters,
    extra_tensors: no_extra_tensors,
    own_tensors: no_own_tensors,
    mmproj: &[],
};

/// The metadata of Gemma 1, with which that of Gemma 2 begins. RoPE's base frequency is
/// written where it is not the one that llama.cpp assumes.
pub(super) fn parameters(
    family: &ModelFamily,
    source: &ParameterSource<'_>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let (config, defaults) = (source.files.config(), &family.config_defaults);
    let count = |field: &str, default: Option<u32>| config_count(config, field, default);
    let head_dim = count("head_dim", defaults.head_dim)?;
    out.set_arch_key("context_length", count("max_position_embeddings", defaults.max_position_embeddings)?);
    out.set_arch_key("embedding_length", count("hidden_size", defaults.hidden_size)?);
    out.set_arch_key("block_count", count("num_hidden_layers", defaults.num_hidden_layers)?);
    out.set_arch_key("feed_forward_length", count("intermediate_size", defaults.intermediate_size)?);
    out.set_arch_key("attention.head_count", count("num_attention_heads", defaults.num_attention_heads)?);
    out.set_arch_key("attention.head_count_kv", count("num_key_value_heads", defaults.num_key_value_heads)?);
    let epsilon = config.f32("rms_norm_eps")?.unwrap_or(defaults.rms_norm_eps);
    out.set_arch_key("attention.layer_norm_rms_epsilon", epsilon);
    out.set_arch_key("attention.key_length", head_dim);
    out.set_arch_key("attention.value_length", head_dim);
    if let Some(theta) = rope::global_theta(config)? {
        // llama.cpp reads it for every family; the converter does not write it for this one
        out.set_arch_key("rope.freq_base", theta);
    }
    out.set("general.file_type", source.file_type);
    Ok(())
}
