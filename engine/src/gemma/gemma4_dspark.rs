//! DSpark (`Gemma4DSparkModel`): a drafter for Gemma 4, which llama.cpp runs as its architecture `dflash`. The file has the
//! tokenizer of the model that it drafts for.

use serde_json::Value;

use super::attention::{AttentionRules, QueryScale, layer_flags};
use super::family::{ConfigDefaults, ExtraTensor, ModelFamily, OwnTensors, ParameterSource, VocabMismatch};
use super::gemma4;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::{ConfigField, ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::{GgufMetadata, MetadataValue};

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "dflash",
    classes: &["Gemma4DSparkModel"],
    tensor_names: &TensorNameMap {
        layer_tensors: &gemma4::LAYER_TENSORS,
        optional_layer_tensors: &[
            ("self_attn.k_norm", "attn_k_norm"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("layer_scalar", "layer_output_scale.weight"),
        ],
        model_tensors: &[("fc", "fc"), ("hidden_norm.weight", "enc.output_norm.weight")],
        optional_model_tensors: &[
            ("markov_head.markov_w1", "markov_w1"),
            ("markov_head.markov_w2", "markov_w2"),
            ("confidence_head.proj", "conf_proj"),
            ("confidence_proj", "conf_proj"),
        ],
        stacked_tensors: &[],
    },
    config_defaults: ConfigDefaults { head_dim: None, ..ConfigDefaults::REQUIRED },
    attention: AttentionRules {
        query_scale: QueryScale::One,
        stores_layer_types: true,
        has_own_kv: false,
        ..AttentionRules::with_period(1)
    },
    norm_shift: 0.0,
    vocab_mismatch: VocabMismatch::Reject,
    has_lm_head: true,
    target_mask_token: Some(mask_token),
    parameters,
    extra_tensors: rope_freqs,
    own_tensors,
    mmproj: &[],
};

/// Every layer has its own keys; a drafter has a Markov head where the configuration gives its rank.
fn own_tensors(_: &ModelFamily, config: &ModelConfig, layer: Option<u32>) -> Result<OwnTensors> {
    let required = match layer {
        Some(_) => vec!["attn_k.weight", "attn_k_norm.weight"],
        None if config.u32("markov_rank")?.is_some_and(|rank| rank > 0) => {
            vec!["markov_w1.weight", "markov_w2.weight"]
        }
        None => Vec::new(),
    };
    Ok(OwnTensors { required, ignored: Vec::new() })
}

/// A field of `dflash_config`, else of the configuration itself.
fn draft_field<'a>(config: &'a ModelConfig, field: &str) -> Result<ConfigField<'a>> {
    let nested = config.field("dflash_config").field(field)?;
    Ok(if nested.value().is_some() { nested } else { config.field(field) })
}

fn require(config: &ModelConfig, field: &str) -> Result<u32> {
    let count = draft_field(config, field)?.u32()?;
    count.ok_or_else(|| Error::invalid(config.file(), format!("has no {field}")))
}

fn mask_token(config: &ModelConfig) -> Result<u32> {
    require(config, "mask_token_id")
}

/// Refuses what llama.cpp does not run, as the converter does.
fn check_supported(config: &ModelConfig) -> Result<()> {
    let is_set = |field: &str| {
        let field = draft_field(config, field)?;
        Ok(field.value().is_some_and(|value| value != &Value::Bool(false) && value.as_f64() != Some(0.0)))
    };
    let layer_types = config.field("layer_types").strs()?;
    let markov_head = draft_field(config, "markov_head_type")?.str()?;
    let draft_vocab = draft_field(config, "draft_vocab_size")?.u32()?;
    let problem = if config.bool("attention_k_eq_v")? != Some(true) {
        "without attention_k_eq_v"
    } else if !layer_types.is_some_and(|types| types.iter().all(|kind| *kind == "full_attention")) {
        "with layer_types other than full_attention"
    } else if markov_head.is_some_and(|kind| kind != "vanilla") {
        "with another markov_head_type than vanilla"
    } else if is_set("attention_bias")? || is_set("enable_moe_block")? {
        "with attention_bias or enable_moe_block"
    } else if is_set("final_logit_softcapping")? {
        "with final_logit_softcapping"
    } else if is_set("conv_kernel_size")? || is_set("attention_value_scale")? || is_set("output_multiplier")?
    {
        "with conv_kernel_size, attention_value_scale or output_multiplier"
    } else if draft_vocab.is_some() && draft_vocab != config.u32("vocab_size")? {
        "with a draft_vocab_size of its own"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(config.file(), format!("GGUF for a Gemma4DSparkModel {problem}")))
}

/// RoPE of the layers, which all use global attention. `Gemma4TextConfig` has these defaults.
struct DraftRope<'a> {
    theta: Option<f32>,
    kind: &'a str,
    rotated: Option<f64>,
}

impl<'a> DraftRope<'a> {
    fn of(config: &'a ModelConfig) -> Result<Self> {
        let parameters = config.field("rope_parameters");
        if parameters.value().is_none() {
            return Ok(Self { theta: Some(1e6), kind: "proportional", rotated: Some(0.25) });
        }
        let full_attention = parameters.field("full_attention")?;
        let rope = if full_attention.value().is_some() { full_attention } else { parameters };
        match rope.field("rope_type")?.str()? {
            Some(kind @ ("default" | "proportional")) => Ok(Self {
                theta: rope.field("rope_theta")?.f32()?,
                kind,
                rotated: rope.field("partial_rotary_factor")?.f64()?,
            }),
            other => {
                let feature = format!("GGUF for a Gemma4DSparkModel with rope_type {other:?}");
                Err(Error::unsupported(config.file(), feature))
            }
        }
    }
}

fn parameters(_: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    let config = source.files.config();
    check_supported(config)?;
    let rope = DraftRope::of(config)?;
    let (hidden, heads) = (config.required_u32("hidden_size")?, config.required_u32("num_attention_heads")?);
    let head_dim = config.required_u32("global_head_dim")?;
    let layers = config.required_u32("num_hidden_layers")?;
    out.set_arch_key("block_count", layers);
    if let Some(length) = config.u32("max_position_embeddings")? {
        out.set_arch_key("context_length", length);
    }
    out.set_arch_key("embedding_length", hidden);
    out.set_arch_key("feed_forward_length", config.required_u32("intermediate_size")?);
    out.set_arch_key("attention.head_count", heads);
    let key_value_heads = config.required_u32("num_global_key_value_heads")?;
    if config.u32("num_key_value_heads")?.is_some() {
        out.set_arch_key("attention.head_count_kv", key_value_heads);
    }
    let is_causal = config.bool("is_causal")?.or(draft_field(config, "causal")?.bool()?);
    if config.bool("is_causal")? == Some(false) {
        out.set_arch_key("attention.causal", false);
    }
    if let Some(theta) = rope.theta {
        out.set_arch_key("rope.freq_base", theta);
    }
    if let Some(epsilon) = config.f32("rms_norm_eps")? {
        out.set_arch_key("attention.layer_norm_rms_epsilon", epsilon);
    }
    if config.u32("head_dim")?.is_some() {
        out.set_arch_key("attention.key_length", head_dim);
        out.set_arch_key("attention.value_length", head_dim);
    }
    out.set("general.file_type", source.file_type);
    if rope.rotated.is_some() && config.field("rope_parameters").value().is_some() {
        out.set_arch_key("rope.dimension_count", head_dim);
    }
    out.set_arch_key("block_size", draft_field(config, "block_size")?.u32()?.unwrap_or(16));
    if draft_field(config, "input_embedding_scale")?.value().is_some() {
        out.set_arch_key("embedding_scale", embedding_scale(hidden));
    }
    out.set_arch_key("target_layers", target_layers(config)?);
    sliding_window(config, layers, out)?;
    if let Some(is_causal) = is_causal {
        out.set_arch_key("attention.causal", is_causal);
    }
    out.set_arch_key("attention.head_count_kv", key_value_heads);
    out.set_arch_key("attention.key_length", head_dim);
    out.set_arch_key("attention.value_length", head_dim);
    out.set_arch_key("rope.dimension_count", head_dim);
    out.set_arch_key("embedding_scale", embedding_scale(hidden));
    out.set_arch_key("attention.scale", 1.0_f32);
    out.set_arch_key("hidden_activation", "gelu_pytorch_tanh");
    out.set_arch_key("sample_from_anchor", config.bool("sample_from_anchor")?.unwrap_or(true));
    let has_confidence_head = source.tensors.iter().any(|name| name.starts_with("conf_proj."));
    out.set_arch_key("has_confidence_head", has_confidence_head);
    Ok(())
}

fn embedding_scale(hidden: u32) -> f32 {
    f64::from(hidden).sqrt() as f32
}

/// The layers of the target whose outputs are read, counted from 1.
fn target_layers(config: &ModelConfig) -> Result<MetadataValue> {
    let layers = draft_field(config, "target_layer_ids")?.counts()?.unwrap_or_default();
    match layers.is_empty() {
        true => Err(Error::invalid(config.file(), "has no target_layer_ids")),
        false => Ok(MetadataValue::I32s(layers.into_iter().map(|layer| layer.saturating_add(1)).collect())),
    }
}

/// The window of all layers, which `dflash_config` turns on.
fn sliding_window(config: &ModelConfig, layers: u32, out: &mut GgufMetadata) -> Result<()> {
    if draft_field(config, "use_swa")?.bool()? != Some(true) {
        return Ok(());
    }
    out.set_arch_key("attention.sliding_window", require(config, "swa_window_size")?);
    out.set_arch_key("attention.sliding_window_pattern", layer_flags(&vec![true; layers as usize]));
    Ok(())
}

/// As Gemma 4's: llama.cpp divides the frequencies of the part of a head that is not rotated by 1e30.
fn rope_freqs(_: &ModelFamily, files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
    let config = files.config();
    let rope = DraftRope::of(config)?;
    if rope.kind != "proportional" {
        return Ok(Vec::new());
    }
    let (head_dim, rotated) = (config.required_u32("global_head_dim")?, rope.rotated.unwrap_or(0.25));
    let pairs = f64::from(head_dim) * rotated / 2.0;
    if !(rotated > 0.0 && rotated <= 1.0) || pairs.fract() != 0.0 {
        let problem = format!("has partial_rotary_factor {rotated} for heads of {head_dim}");
        return Err(Error::invalid(config.file(), problem));
    }
    Ok(vec![gemma4::frequency_factors(head_dim, pairs as u32)])
}
