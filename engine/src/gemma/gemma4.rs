//! Gemma 4 (`Gemma4ForCausalLM`, and the language model of `Gemma4ForConditionalGeneration` and of
//! `Gemma4UnifiedForConditionalGeneration` and `Gemma4UnifiedForCausalLM`): global attention with other heads than sliding attention, per-layer
//! embeddings, experts.

use serde_json::Map;

use super::attention::{AttentionRules, QueryScale, first_kv_shared_layer, layer_flags};
use super::family::{
    ConfigDefaults, ExtraTensor, ModelFamily, OwnTensors, ParameterSource, VocabMismatch, config_count,
};
use super::gemma3;
use super::mmproj;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::{ConfigField, ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::{GgufMetadata, MetadataValue};
use crate::io::read_source;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma4",
    classes: &[
        "Gemma4ForCausalLM",
        "Gemma4ForConditionalGeneration",
        "gemma4_text",
        "gemma4",
        "Gemma4UnifiedForConditionalGeneration",
        "Gemma4UnifiedForCausalLM",
        "gemma4_unified",
        "gemma4_unified_text",
    ],
    tensor_names: &TENSOR_NAMES,
    config_defaults: CONFIG_DEFAULTS,
    attention: ATTENTION,
    norm_shift: 0.0,
    vocab_mismatch: VocabMismatch::Truncate,
    has_lm_head: true,
    target_mask_token: None,
    parameters,
    extra_tensors: rope_freqs,
    own_tensors,
    mmproj: &[&mmproj::GEMMA4, &mmproj::GEMMA4_UNIFIED],
};

static TENSOR_NAMES: TensorNameMap = TensorNameMap {
    layer_tensors: &LAYER_TENSORS,
    optional_layer_tensors: &[
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
    model_tensors: &[],
    optional_model_tensors: &[
        ("embed_tokens_per_layer", "per_layer_token_embd"),
        ("per_layer_model_projection", "per_layer_model_proj"),
        ("per_layer_projection_norm", "per_layer_proj_norm"),
    ],
    stacked_tensors: &[],
};

pub(super) const LAYER_TENSORS: [(&str, &str); 10] = [
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
];

pub(super) const CONFIG_DEFAULTS: ConfigDefaults = ConfigDefaults {
    vocab_size: Some(262_144),
    vocab_size_per_layer_input: Some(262_144),
    num_hidden_layers: Some(30),
    max_position_embeddings: Some(131_072),
    hidden_size: Some(2304),
    intermediate_size: Some(9216),
    num_attention_heads: Some(8),
    num_key_value_heads: Some(4),
    sliding_window: Some(512),
    num_kv_shared_layers: Some(0),
    hidden_size_per_layer_input: Some(256),
    ..ConfigDefaults::REQUIRED
};

pub(super) const ATTENTION: AttentionRules = AttentionRules {
    query_scale: QueryScale::One,
    normalizes_values: true,
    stores_layer_types: true,
    ..AttentionRules::with_period(6)
};

/// The fields of `config.json` that decide which tensors a layer has and which shapes.
struct Gemma4Params {
    layers: u32,
    /// For each layer whether it uses a sliding window.
    sliding: Vec<bool>,
    /// The number of last layers that use the keys and values of layers before them.
    num_kv_shared_layers: u32,
    /// 0 if the model has no per-layer embeddings.
    hidden_size_per_layer_input: u32,
    head_dim: u32,
    global_head_dim: u32,
    num_key_value_heads: u32,
    global_key_value_heads: Option<u32>,
    has_experts: bool,
    /// Whether layers with global attention use their keys as values.
    attention_k_eq_v: bool,
}

impl Gemma4Params {
    fn of(family: &ModelFamily, config: &ModelConfig) -> Result<Self> {
        let defaults = &family.config_defaults;
        let count = |field: &str, default: Option<u32>| config_count(config, field, default);
        let layers = count("num_hidden_layers", defaults.num_hidden_layers)?;
        let mut sliding = family.attention.sliding_layers(config, layers)?;
        if let Some(last) = sliding.last_mut() {
            *last = false;
        }
        let attention_k_eq_v = config.bool("attention_k_eq_v")? == Some(true);
        let per_layer = config.field("per_layer_config");
        let (global_head_dim, global_key_value_heads) = match per_layer.object()? {
            Some(_) => (
                in_global_layer(&per_layer, &sliding, "head_dim")?,
                in_global_layer(&per_layer, &sliding, "num_key_value_heads")?,
            ),
            None => {
                let heads = config.u32("num_global_key_value_heads")?.filter(|_| attention_k_eq_v);
                (Some(count("global_head_dim", Some(512))?), heads)
            }
        };
        let Some(global_head_dim) = global_head_dim else {
            let problem = "has no head_dim of a layer with global attention in per_layer_config";
            return Err(Error::invalid(config.file(), problem));
        };
        Ok(Self {
            layers,
            sliding,
            num_kv_shared_layers: count("num_kv_shared_layers", defaults.num_kv_shared_layers)?,
            hidden_size_per_layer_input: hidden_size_per_layer_input(family, config)?,
            head_dim: count("head_dim", defaults.head_dim)?,
            global_head_dim,
            num_key_value_heads: count("num_key_value_heads", defaults.num_key_value_heads)?,
            global_key_value_heads,
            has_experts: config.bool("enable_moe_block")? == Some(true),
            attention_k_eq_v,
        })
    }

    /// Whether this layer computes keys and values of its own.
    fn has_kv(&self, layer: u32) -> bool {
        (layer as usize) < first_kv_shared_layer(self.layers as usize, self.num_kv_shared_layers as usize)
    }
}

/// Null means that the model has no per-layer embeddings, and so does a missing field in Gemma 4 Unified.
fn hidden_size_per_layer_input(family: &ModelFamily, config: &ModelConfig) -> Result<u32> {
    const FIELD: &str = "hidden_size_per_layer_input";
    if config.is_null(FIELD) {
        return Ok(0);
    }
    let default =
        if is_unified(config) { Some(0) } else { family.config_defaults.hidden_size_per_layer_input };
    config_count(config, FIELD, default)
}

/// The value of the first layer with global attention that has one. `per_layer_config` has layers by number, with
/// leading zeros.
fn in_global_layer(layers: &ConfigField<'_>, sliding: &[bool], field: &str) -> Result<Option<u32>> {
    let mut first: Option<(usize, u32)> = None;
    for name in layers.object()?.into_iter().flat_map(Map::keys) {
        let Ok(number) = name.parse() else { continue };
        let value = layers.field(name)?.field(field)?.u32()?;
        if let Some(value) = value.filter(|_| sliding.get(number) == Some(&false)) {
            first = Some(first.map_or((number, value), |first| first.min((number, value))));
        }
    }
    Ok(first.map(|(_, value)| value))
}

/// Whether the class is one of Gemma 4 Unified.
fn is_unified(config: &ModelConfig) -> bool {
    let class = config.class().or_else(|| config.model_type());
    class.is_some_and(|class| class.contains("Unified") || class.contains("unified"))
}

fn parameters(family: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    decoder_parameters(family, source, out)?;
    if is_unified(source.files.config()) { suppress_tokens(source.files, out) } else { Ok(()) }
}

/// The metadata that Gemma 4 and its assistants have in common.
pub(super) fn decoder_parameters(
    family: &ModelFamily,
    source: &ParameterSource<'_>,
    out: &mut GgufMetadata,
) -> Result<()> {
    let config = source.files.config();
    let params = Gemma4Params::of(family, config)?;
    if is_unified(config) {
        // its class has another default than the rest of the family
        config.required_u32("sliding_window")?;
    }
    gemma3::parameters(family, source, out)?;
    out.set_arch_key("attention.shared_kv_layers", params.num_kv_shared_layers);
    out.set_arch_key("embedding_length_per_layer_input", params.hidden_size_per_layer_input);
    out.set_arch_key("attention.sliding_window_pattern", layer_flags(&params.sliding));
    out.set_arch_key("attention.key_length", params.global_head_dim);
    out.set_arch_key("attention.value_length", params.global_head_dim);
    out.set_arch_key("attention.key_length_swa", params.head_dim);
    out.set_arch_key("attention.value_length_swa", params.head_dim);
    if let Some(size) = config.u32("moe_intermediate_size")? {
        out.set_arch_key("expert_feed_forward_length", size);
    }
    if config.bool("use_double_wide_mlp")? == Some(true) {
        let default = family.config_defaults.intermediate_size;
        let size = config_count(config, "intermediate_size", default)? as i32;
        let sizes = (0..params.layers).map(|layer| if params.has_kv(layer) { size } else { 2 * size });
        out.set_arch_key("feed_forward_length", MetadataValue::I32s(sizes.collect()));
    }
    if let Some(global) = params.global_key_value_heads {
        let heads = |sliding: &bool| if *sliding { params.num_key_value_heads } else { global } as i32;
        let heads = params.sliding.iter().map(heads).collect();
        out.set_arch_key("attention.head_count_kv", MetadataValue::I32s(heads));
    }
    out.set_arch_key("rope.dimension_count", params.global_head_dim);
    out.set_arch_key("rope.dimension_count_swa", params.head_dim);
    Ok(())
}

/// `suppress_tokens` of `generation_config.json`: the tokens of images and audio, which must not be generated.
fn suppress_tokens(files: &ModelFiles, out: &mut GgufMetadata) -> Result<()> {
    let Some(source) = files.open("generation_config.json")? else { return Ok(()) };
    let file = source.location().to_owned();
    let config = ModelConfig::parse(file, &read_source(&*source)?)?;
    if let Some(tokens) = config.field("suppress_tokens").counts()?.filter(|tokens| !tokens.is_empty()) {
        out.set("tokenizer.ggml.suppress_tokens", MetadataValue::I32s(tokens));
    }
    Ok(())
}

/// Layers with global attention rotate only a part of each head. llama.cpp divides the frequencies of the rest by
/// 1e30, so that their angles are 0.
pub(super) fn rope_freqs(family: &ModelFamily, files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
    let config = files.config();
    let head_dim = Gemma4Params::of(family, config)?.global_head_dim;
    let rope = config.field("rope_parameters").field("full_attention")?;
    let kind = rope.field("rope_type")?.str()?;
    if rope.value().is_some() && kind != Some("proportional") {
        let feature = format!("GGUF for a Gemma 4 with rope_type {kind:?} in full_attention");
        return Err(Error::unsupported(config.file(), feature));
    }
    let factor = rope.field("factor")?.f64()?.unwrap_or(1.0);
    if factor != 1.0 {
        let feature = format!("GGUF for a Gemma 4 with RoPE factor {factor} in full_attention");
        return Err(Error::unsupported(config.file(), feature));
    }
    let rotated = rope.field("partial_rotary_factor")?.f64()?.unwrap_or(0.25);
    if !(0.0..=1.0).contains(&rotated) {
        return Err(Error::invalid(config.file(), format!("has partial_rotary_factor {rotated}")));
    }
    let rotated = (f64::from(head_dim) * rotated / 2.0) as u32;
    Ok(vec![frequency_factors(head_dim, rotated)])
}

/// What llama.cpp divides the frequencies of a head's pairs by: those after the first `rotated` ones stand still.
pub(super) fn frequency_factors(head_dim: u32, rotated: u32) -> ExtraTensor {
    let values: Vec<f32> = (0..head_dim / 2).map(|at| if at < rotated { 1.0 } else { 1e30 }).collect();
    ExtraTensor {
        name: "rope_freqs.weight".to_owned(),
        shape: vec![values.len() as u64],
        values: values.into(),
    }
}

/// Tensors that depend on the layer's kind of attention, and on whether the model has per-layer embeddings and experts.
fn own_tensors(family: &ModelFamily, config: &ModelConfig, layer: Option<u32>) -> Result<OwnTensors> {
    let params = Gemma4Params::of(family, config)?;
    let (mut required, mut ignored) = (Vec::new(), Vec::new());
    let Some(layer) = layer else {
        if params.hidden_size_per_layer_input > 0 {
            required.extend(["per_layer_token_embd.weight", "per_layer_model_proj.weight"]);
            required.push("per_layer_proj_norm.weight");
        }
        return Ok(OwnTensors { required, ignored });
    };
    let has_values = !params.attention_k_eq_v || params.sliding.get(layer as usize) == Some(&true);
    if !has_values {
        ignored.push((VALUES, "attention_k_eq_v true"));
    }
    if params.has_kv(layer) {
        required.extend(["attn_k.weight", "attn_k_norm.weight"]);
        required.extend(has_values.then_some(VALUES));
    }
    if params.hidden_size_per_layer_input > 0 {
        required.extend(["inp_gate.weight", "proj.weight", "post_norm.weight"]);
    }
    if params.has_experts {
        required.extend(EXPERT_TENSORS);
    } else {
        ignored.extend(EXPERT_TENSORS.map(|name| (name, "enable_moe_block false")));
    }
    Ok(OwnTensors { required, ignored })
}

const VALUES: &str = "attn_v.weight";

/// The tensors that a layer has with experts alone.
const EXPERT_TENSORS: [&str; 8] = [
    "pre_ffw_norm_2.weight",
    "post_ffw_norm_1.weight",
    "post_ffw_norm_2.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_inp.scale",
    "ffn_down_exps.scale",
    "ffn_gate_up_exps.weight",
    "ffn_down_exps.weight",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heads_of_global_attention_are_those_of_its_layers() {
        let config = br#"{"per_layer_config": {
            "0": {"head_dim": 1}, "05": {"head_dim": 64}, "11": {"head_dim": 65, "num_key_value_heads": 2}
        }}"#;
        let config = ModelConfig::parse("config.json".to_owned(), config).unwrap();
        let layers = config.field("per_layer_config");
        let sliding: Vec<bool> = (1..=12).map(|layer| layer % 6 != 0).collect();
        assert_eq!(in_global_layer(&layers, &sliding, "head_dim").unwrap(), Some(64));
        assert_eq!(in_global_layer(&layers, &sliding, "num_key_value_heads").unwrap(), Some(2));
        assert_eq!(in_global_layer(&layers, &sliding, "x").unwrap(), None);
    }
}
