//! Gemma 3 (`Gemma3ForCausalLM`, and the language model of `Gemma3ForConditionalGeneration`).

use super::rope::RopeParameters;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{GgufMetadata, MetadataValue};

/// A layer's modules.
pub(super) const LAYER: [(&str, &str); 13] = [
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
];

pub(super) const NAMES: TensorNameMap = TensorNameMap::layers(&LAYER);

/// What a class of transformers takes where `config.json` has nothing, or null.
pub(super) struct ConfigDefaults {
    pub(super) layers: u32,
    pub(super) context: u32,
    pub(super) width: u32,
    pub(super) feed_forward: u32,
    pub(super) heads: u32,
    pub(super) key_value_heads: u32,
    pub(super) window: u32,
    pub(super) softcap: Option<f32>,
}

const DEFAULTS: ConfigDefaults = ConfigDefaults {
    layers: 26,
    context: 131_072,
    width: 2304,
    feed_forward: 9216,
    heads: 8,
    key_value_heads: 4,
    window: 4096,
    softcap: None,
};

pub(super) fn parameters(config: &ModelConfig, file_type: u32, out: &mut GgufMetadata) -> Result<()> {
    common(config, &DEFAULTS, file_type, out)
}

/// What Gemma 3 and its descendants begin with. Sparse configurations (the multimodal ones) leave out what equals the
/// defaults.
pub(super) fn common(
    config: &ModelConfig,
    defaults: &ConfigDefaults,
    file_type: u32,
    out: &mut GgufMetadata,
) -> Result<()> {
    if let Some(cap) = config.get("attn_logit_softcapping") {
        let feature = format!("Gemma 3 with attn_logit_softcapping {cap}");
        return Err(Error::unsupported(config.file(), feature));
    }
    let count = |key: &str, default: u32| Ok::<u32, Error>(config.u32(key)?.unwrap_or(default));
    let head_dim = count("head_dim", 256)?;
    let rope = RopeParameters::of(config)?;
    out.own("block_count", count("num_hidden_layers", defaults.layers)?);
    out.own("context_length", count("max_position_embeddings", defaults.context)?);
    out.own("embedding_length", count("hidden_size", defaults.width)?);
    match config.get("intermediate_size").and_then(serde_json::Value::as_array) {
        Some(_) => out.own("feed_forward_length", MetadataValue::I32s(config.list("intermediate_size")?)),
        None => out.own("feed_forward_length", count("intermediate_size", defaults.feed_forward)?),
    }
    out.own("attention.head_count", count("num_attention_heads", defaults.heads)?);
    out.own("attention.head_count_kv", count("num_key_value_heads", defaults.key_value_heads)?);
    if config.bool("is_causal") == Some(false) {
        out.own("attention.causal", false);
    }
    if let Some(factor) = rope.linear_factor {
        out.own("rope.scaling.type", "linear");
        out.own("rope.scaling.factor", factor);
    }
    out.own("rope.freq_base", rope.theta);
    out.own("rope.freq_base_swa", rope.local_theta);
    out.own("attention.layer_norm_rms_epsilon", config.f32("rms_norm_eps")?.unwrap_or(1e-6));
    for (key, name) in [("num_experts", "expert_count"), ("top_k_experts", "expert_used_count")] {
        if let Some(experts) = config.u32(key)? {
            out.own(name, experts);
        }
    }
    out.own("attention.key_length", head_dim);
    out.own("attention.value_length", head_dim);
    out.set("general.file_type", file_type);
    if let Some(cap) = config.f32("final_logit_softcapping")?.or(defaults.softcap).filter(|cap| *cap != 0.0) {
        out.own("final_logit_softcapping", cap);
    }
    if config.u32("sliding_window_pattern")? != Some(1) {
        out.own("attention.sliding_window", count("sliding_window", defaults.window)?);
    }
    Ok(())
}

/// For each layer whether its attention slides; every `period`th one's does not, unless the configuration says more.
pub(crate) fn sliding(config: &ModelConfig, period: u32, layers: u32) -> Result<Vec<bool>> {
    let Some(types) = config.get("layer_types") else {
        return Ok((1..=layers).map(|layer| layer % period != 0).collect());
    };
    let types = types.as_array().map(Vec::as_slice).unwrap_or_default();
    if types.len() != layers as usize {
        let problem = format!("has {} layer_types for {layers} layers", types.len());
        return Err(Error::invalid(config.file(), problem));
    }
    Ok(types.iter().map(|kind| kind.as_str() == Some("sliding_attention")).collect())
}

/// One switch a layer.
pub(crate) fn switches(values: &[bool]) -> MetadataValue {
    MetadataValue::List(7, values.iter().copied().map(MetadataValue::Bool).collect())
}
