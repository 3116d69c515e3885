//! Gemma 3 (`Gemma3ForCausalLM`, and the language model of `Gemma3ForConditionalGeneration`).

use serde_json::Value;

use super::attention::{AttentionRules, QueryScale};
use super::family::{ConfigDefaults, ModelFamily, ParameterSource, VocabMismatch};
use super::family::{config_count, no_extra_tensors, no_own_tensors};
use super::mmproj;
use super::rope::RopeParameters;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelConfig;
use crate::error::Result;
use crate::gguf::{GgufMetadata, MetadataValue};

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma3",
    classes: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "gemma3_text", "gemma3"],
    tensor_names: &TENSOR_NAMES,
    config_defaults: CONFIG_DEFAULTS,
    attention: ATTENTION,
    norm_shift: 1.0,
    vocab_mismatch: VocabMismatch::Truncate,
    has_lm_head: true,
    target_mask_token: None,
    parameters,
    extra_tensors: no_extra_tensors,
    own_tensors: no_own_tensors,
    mmproj: &[&mmproj::GEMMA3],
};

pub(super) static TENSOR_NAMES: TensorNameMap = TensorNameMap::of_layers(&[
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
]);

pub(super) const CONFIG_DEFAULTS: ConfigDefaults = ConfigDefaults {
    vocab_size: Some(262_208),
    num_hidden_layers: Some(26),
    max_position_embeddings: Some(131_072),
    hidden_size: Some(2304),
    intermediate_size: Some(9216),
    num_attention_heads: Some(8),
    num_key_value_heads: Some(4),
    sliding_window: Some(4096),
    ..ConfigDefaults::REQUIRED
};

pub(super) const ATTENTION: AttentionRules = AttentionRules {
    query_scale: QueryScale::HeadDim { unless_layers: Some(62) },
    reads_query_scalar: true,
    ..AttentionRules::with_period(6)
};

/// The metadata of Gemma 3, with which that of its descendants begins.
pub(super) fn parameters(
    family: &ModelFamily,
    source: &ParameterSource<'_>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let (config, defaults) = (source.files.config(), &family.config_defaults);
    let count = |field: &str, default: Option<u32>| config_count(config, field, default);
    let head_dim = count("head_dim", defaults.head_dim)?;
    let rope = RopeParameters::of(config)?;
    out.set_arch_key("block_count", count("num_hidden_layers", defaults.num_hidden_layers)?);
    out.set_arch_key("context_length", count("max_position_embeddings", defaults.max_position_embeddings)?);
    out.set_arch_key("embedding_length", count("hidden_size", defaults.hidden_size)?);
    let intermediate = config.field("intermediate_size");
    match intermediate.value() {
        Some(Value::Array(_)) => {
            let sizes = intermediate.counts()?.unwrap_or_default();
            out.set_arch_key("feed_forward_length", MetadataValue::I32s(sizes));
        }
        Some(_) | None => {
            out.set_arch_key("feed_forward_length", count("intermediate_size", defaults.intermediate_size)?);
        }
    }
    out.set_arch_key("attention.head_count", count("num_attention_heads", defaults.num_attention_heads)?);
    out.set_arch_key("attention.head_count_kv", count("num_key_value_heads", defaults.num_key_value_heads)?);
    rope.write(out);
    let epsilon = config.f32("rms_norm_eps")?.unwrap_or(defaults.rms_norm_eps);
    out.set_arch_key("attention.layer_norm_rms_epsilon", epsilon);
    experts(config, out)?;
    out.set_arch_key("attention.key_length", head_dim);
    out.set_arch_key("attention.value_length", head_dim);
    out.set("general.file_type", source.file_type);
    let cap = config.f32("final_logit_softcapping")?.or(defaults.final_logit_softcapping);
    if let Some(cap) = cap.filter(|cap| *cap != 0.0) {
        out.set_arch_key("final_logit_softcapping", cap);
    }
    // Gemma 3n and 4 do not read the pattern
    if family.attention.stores_layer_types || config.u32("sliding_window_pattern")? != Some(1) {
        out.set_arch_key("attention.sliding_window", count("sliding_window", defaults.sliding_window)?);
    }
    Ok(())
}

/// How many experts a layer has and how many of them process a token. Without `enable_moe_block` a model has none,
/// whatever the other fields say.
fn experts(config: &ModelConfig, out: &mut GgufMetadata) -> Result<()> {
    if config.bool("enable_moe_block")? != Some(true) {
        return Ok(());
    }
    let experts = config.required_u32("num_experts")?;
    let top_k = config.field("top_k_experts");
    let used = config.required_u32("top_k_experts")?;
    if !(1..=experts).contains(&used) {
        return Err(top_k.invalid(format!("is {used}, but num_experts is {experts}")));
    }
    config.required_u32("moe_intermediate_size")?;
    out.set_arch_key("expert_count", experts);
    out.set_arch_key("expert_used_count", used);
    Ok(())
}
