//! Gemma 3 (`Gemma3ForCausalLM`, and the language model of `Gemma3ForConditionalGeneration`).

use serde_json::Value;

use crate::checkpoint::Config;
use crate::gguf::Metadata;
use crate::{Error, Result};

/// A layer's modules: the checkpoint's names and the file's.
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

/// Sparse configurations (the multimodal ones) leave out what equals `Gemma3TextConfig`'s defaults.
pub(super) fn parameters(config: &Config, file_type: u32, out: &mut Metadata) -> Result<()> {
    if let Some(cap) = config.get("attn_logit_softcapping") {
        let feature = format!("Gemma 3 with attn_logit_softcapping {cap}");
        return Err(Error::unsupported(config.file(), feature));
    }
    let head_dim = config.u32("head_dim")?.unwrap_or(256);
    let rope = Rope::of(config)?;
    out.own("block_count", config.u32("num_hidden_layers")?.unwrap_or(26));
    out.own("context_length", config.u32("max_position_embeddings")?.unwrap_or(131_072));
    out.own("embedding_length", config.u32("hidden_size")?.unwrap_or(2304));
    out.own("feed_forward_length", config.u32("intermediate_size")?.unwrap_or(9216));
    out.own("attention.head_count", config.u32("num_attention_heads")?.unwrap_or(8));
    out.own("attention.head_count_kv", config.u32("num_key_value_heads")?.unwrap_or(4));
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
    out.own("attention.key_length", head_dim);
    out.own("attention.value_length", head_dim);
    out.set("general.file_type", file_type);
    if let Some(cap) = config.f32("final_logit_softcapping")?.filter(|cap| *cap != 0.0) {
        out.own("final_logit_softcapping", cap);
    }
    if config.u32("sliding_window_pattern")? != Some(1) {
        out.own("attention.sliding_window", config.u32("sliding_window")?.unwrap_or(4096));
    }
    Ok(())
}

/// Positions: since transformers 5 under `rope_parameters`, by kind of layer; before that spread over three keys.
struct Rope {
    theta: f32,
    local_theta: f32,
    linear_factor: Option<f32>,
}

impl Rope {
    fn of(config: &Config) -> Result<Self> {
        let parameters = config.get("rope_parameters");
        let global =
            parameters.map(|p| p.get("full_attention").unwrap_or(p)).or_else(|| config.get("rope_scaling"));
        let local = parameters.and_then(|p| p.get("sliding_attention"));
        let theta_in = |part: Option<&Value>| part?.get("rope_theta")?.as_f64().map(|n| n as f32);
        let theta = match theta_in(global) {
            Some(theta) => Some(theta),
            None => config.f32("rope_theta")?,
        };
        let local_theta = match theta_in(local) {
            Some(theta) => Some(theta),
            None => config.f32("rope_local_base_freq")?,
        };
        let (theta, local_theta) = (theta.unwrap_or(1e6), local_theta.unwrap_or(1e4));
        Ok(Self { theta, local_theta, linear_factor: linear_factor(config, global)? })
    }
}

fn linear_factor(config: &Config, rope: Option<&Value>) -> Result<Option<f32>> {
    let Some(rope) = rope else { return Ok(None) };
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str);
    match kind {
        None | Some("default") => Ok(None),
        Some("linear") => match rope.get("factor").and_then(Value::as_f64) {
            Some(factor) => Ok(Some(factor as f32)),
            None => Err(Error::invalid(config.file(), "has linear rope_scaling without a factor")),
        },
        Some(other) => Err(Error::unsupported(config.file(), format!("GGUF with rope type {other:?}"))),
    }
}
