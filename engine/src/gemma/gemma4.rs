//! Gemma 4 (`Gemma4ForCausalLM`, and the language model of `Gemma4ForConditionalGeneration` and of
//! `Gemma4UnifiedForConditionalGeneration`): two kinds of attention with heads of their own sizes, embeddings for each
//! layer, experts.

use serde_json::Value as Json;

use super::ExtraTensor;
use super::gemma3;
use super::gemma3::ConfigDefaults;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::{GgufMetadata, MetadataValue};
use crate::io::read_source;

pub(super) const NAMES: TensorNameMap = TensorNameMap {
    layer: &[
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ],
    some_layers: &[
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("layer_scalar", "layer_output_scale.weight"),
        ("per_layer_input_gate", "inp_gate"),
        ("per_layer_projection", "proj"),
        ("post_per_layer_input_norm", "post_norm"),
        ("pre_feedforward_layernorm_2", "pre_ffw_norm_2"),
        ("post_feedforward_layernorm_1", "post_ffw_norm_1"),
        ("post_feedforward_layernorm_2", "post_ffw_norm_2"),
        ("router.proj", "ffn_gate_inp"),
        ("router.scale", "ffn_gate_inp.scale"),
        ("router.per_expert_scale", "ffn_down_exps.scale"),
        ("experts.gate_up_proj", "ffn_gate_up_exps.weight"),
        ("experts.down_proj", "ffn_down_exps.weight"),
    ],
    model: &[],
    some_models: &[
        ("embed_tokens_per_layer", "per_layer_token_embd"),
        ("per_layer_model_projection", "per_layer_model_proj"),
        ("per_layer_projection_norm", "per_layer_proj_norm"),
    ],
    lists: &[],
};

const DEFAULTS: ConfigDefaults = ConfigDefaults {
    layers: 30,
    context: 131_072,
    width: 2304,
    feed_forward: 9216,
    heads: 8,
    key_value_heads: 4,
    window: 512,
    softcap: None,
};

/// What the configuration says, with the class's values where it says nothing.
struct Gemma4Params {
    layers: u32,
    sliding: Vec<bool>,
    /// The last layers, which take keys and values from layers before them.
    shared: u32,
    per_layer: u32,
    head_dim: u32,
    global_head_dim: u32,
    key_value_heads: u32,
    global_key_value_heads: Option<u32>,
    experts: bool,
    /// Whether layers with full attention use their keys as values.
    keys_are_values: bool,
}

impl Gemma4Params {
    fn of(config: &ModelConfig) -> Result<Self> {
        let count = |key: &str, default: u32| Ok::<u32, Error>(config.u32(key)?.unwrap_or(default));
        let layers = count("num_hidden_layers", DEFAULTS.layers)?;
        let mut sliding = gemma3::sliding(config, 6, layers)?;
        if let Some(last) = sliding.last_mut() {
            *last = false;
        }
        let keys_are_values = config.bool("attention_k_eq_v") == Some(true);
        let (global_head_dim, global_key_value_heads) = match config.get("per_layer_config") {
            Some(layers) => (
                in_full_layer(layers, &sliding, "head_dim"),
                in_full_layer(layers, &sliding, "num_key_value_heads"),
            ),
            None => {
                let heads = config.u32("num_global_key_value_heads")?.filter(|_| keys_are_values);
                (Some(count("global_head_dim", 512)?), heads)
            }
        };
        let Some(global_head_dim) = global_head_dim else {
            return Err(Error::invalid(
                config.file(),
                "has no head_dim for full attention in per_layer_config",
            ));
        };
        let shared = count("num_kv_shared_layers", 0)?;
        let per_layer = if config.is_null("hidden_size_per_layer_input") {
            0
        } else {
            count(
                "hidden_size_per_layer_input",
                if is(config, UNIFIED) || is(config, ASSISTANT) { 0 } else { 256 },
            )?
        };
        Ok(Self {
            layers,
            sliding,
            shared,
            per_layer,
            head_dim: count("head_dim", 256)?,
            global_head_dim,
            key_value_heads: count("num_key_value_heads", DEFAULTS.key_value_heads)?,
            global_key_value_heads,
            experts: config.bool("enable_moe_block") == Some(true),
            keys_are_values,
        })
    }
}

/// The value of the first layer with full attention that has one. Layers are named by number, with zeros in front.
fn in_full_layer(layers: &Json, sliding: &[bool], key: &str) -> Option<u32> {
    let value = |(name, layer): (&String, &Json)| {
        let number: usize = name.parse().ok()?;
        let full = sliding.get(number) == Some(&false);
        Some((number, layer.get(key).filter(|_| full)?.as_u64()?))
    };
    let (_, value) = layers.as_object()?.iter().filter_map(value).min()?;
    u32::try_from(value).ok()
}

/// Classes that have no embeddings for each layer.
const UNIFIED: [&str; 2] = ["Unified", "unified"];
const ASSISTANT: [&str; 2] = ["Assistant", "assistant"];

fn is(config: &ModelConfig, kind: [&str; 2]) -> bool {
    let class = config.class().or_else(|| config.model_type());
    class.is_some_and(|class| kind.iter().any(|kind| class.contains(kind)))
}

pub(super) fn parameters(files: &ModelFiles, file_type: u32, out: &mut GgufMetadata) -> Result<()> {
    let config = files.config();
    let shape = Gemma4Params::of(config)?;
    gemma3::common(config, &DEFAULTS, file_type, out)?;
    out.own("attention.shared_kv_layers", shape.shared);
    out.own("embedding_length_per_layer_input", shape.per_layer);
    out.own("attention.sliding_window_pattern", gemma3::switches(&shape.sliding));
    out.own("attention.key_length", shape.global_head_dim);
    out.own("attention.value_length", shape.global_head_dim);
    out.own("attention.key_length_swa", shape.head_dim);
    out.own("attention.value_length_swa", shape.head_dim);
    if let Some(width) = config.u32("moe_intermediate_size")? {
        out.own("expert_feed_forward_length", width);
    }
    if config.bool("use_double_wide_mlp") == Some(true) {
        let width = config.u32("intermediate_size")?.unwrap_or(DEFAULTS.feed_forward) as i32;
        let first = shape.layers.saturating_sub(shape.shared);
        let widths = (0..shape.layers).map(|layer| if layer < first { width } else { 2 * width });
        out.own("feed_forward_length", MetadataValue::I32s(widths.collect()));
    }
    if let Some(global) = shape.global_key_value_heads {
        let heads =
            shape.sliding.iter().map(|slides| if *slides { shape.key_value_heads } else { global } as i32);
        out.own("attention.head_count_kv", MetadataValue::I32s(heads.collect()));
    }
    out.own("rope.dimension_count", shape.global_head_dim);
    out.own("rope.dimension_count_swa", shape.head_dim);
    if is(config, UNIFIED) && !is(config, ASSISTANT) {
        suppressed(files, out)?;
    }
    Ok(())
}

/// Tokens that it must never say: those that stand for images and sounds.
fn suppressed(files: &ModelFiles, out: &mut GgufMetadata) -> Result<()> {
    let Some(source) = files.open("generation_config.json")? else { return Ok(()) };
    let file = source.location().to_owned();
    let tokens = ModelConfig::parse(file, &read_source(&*source)?)?.list("suppress_tokens")?;
    if !tokens.is_empty() {
        out.set("tokenizer.ggml.suppress_tokens", MetadataValue::I32s(tokens));
    }
    Ok(())
}

/// Layers with full attention turn only a part of each head. llama.cpp divides the frequencies of the others by so
/// much that they stand still.
pub(super) fn frequencies(config: &ModelConfig) -> Result<ExtraTensor> {
    let head = Gemma4Params::of(config)?.global_head_dim;
    let rope = config.get("rope_parameters").and_then(|rope| rope.get("full_attention"));
    let kind = rope.and_then(|rope| rope.get("rope_type")).and_then(Json::as_str);
    if rope.is_some() && kind != Some("proportional") {
        let feature = format!("GGUF for a Gemma 4 with rope type {kind:?} in its full attention");
        return Err(Error::unsupported(config.file(), feature));
    }
    let factor = rope.and_then(|rope| rope.get("factor")).and_then(Json::as_f64).unwrap_or(1.0);
    if factor != 1.0 {
        let feature = format!("GGUF for a Gemma 4 with positions divided by {factor} in its full attention");
        return Err(Error::unsupported(config.file(), feature));
    }
    let share =
        rope.and_then(|rope| rope.get("partial_rotary_factor")).and_then(Json::as_f64).unwrap_or(0.25);
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::invalid(config.file(), format!("has partial_rotary_factor {share}")));
    }
    let turned = (f64::from(head) * share / 2.0) as u32;
    let values: Vec<f32> = (0..head / 2).map(|at| if at < turned { 1.0 } else { 1e30 }).collect();
    Ok(ExtraTensor {
        name: "rope_freqs.weight".to_owned(),
        shape: vec![values.len() as u64],
        values: values.into(),
    })
}

/// What a layer needs besides what all have.
pub(super) fn needed(config: &ModelConfig, layer: u32) -> Result<Vec<&'static str>> {
    let shape = Gemma4Params::of(config)?;
    let mut needed = Vec::new();
    if layer < shape.layers.saturating_sub(shape.shared) {
        needed.extend(["attn_k.weight", "attn_k_norm.weight"]);
        if !shape.keys_are_values || shape.sliding.get(layer as usize) == Some(&true) {
            needed.push("attn_v.weight");
        }
    }
    if shape.per_layer > 0 {
        needed.extend(["inp_gate.weight", "proj.weight", "post_norm.weight"]);
    }
    if shape.experts {
        needed.extend(["pre_ffw_norm_2.weight", "post_ffw_norm_1.weight", "post_ffw_norm_2.weight"]);
        needed.extend(["ffn_gate_inp.weight", "ffn_gate_inp.scale", "ffn_down_exps.scale"]);
        needed.extend(["ffn_gate_up_exps.weight", "ffn_down_exps.weight"]);
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_attention_has_the_heads_of_its_own_layers() {
        let layers = serde_json::json!({
            "0": {"head_dim": 1}, "05": {"head_dim": 64}, "11": {"head_dim": 64, "num_key_value_heads": 2}
        });
        let sliding: Vec<bool> = (1..=12).map(|layer| layer % 6 != 0).collect();
        assert_eq!(in_full_layer(&layers, &sliding, "head_dim"), Some(64));
        assert_eq!(in_full_layer(&layers, &sliding, "num_key_value_heads"), Some(2));
        assert_eq!(in_full_layer(&layers, &sliding, "x"), None);
    }
}
