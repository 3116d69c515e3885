//! Gemma 3n (`Gemma3nForCausalLM`, and the language model of `Gemma3nForConditionalGeneration`): four streams of
//! hidden states (AltUp), low-rank residuals (Laurel), per-layer embeddings.

use kernels::numerics::torch::normal_icdf;
use serde_json::Value;

use super::attention::{AttentionRules, QueryScale, layer_flags};
use super::family::{ConfigDefaults, ModelFamily, ParameterSource, VocabMismatch};
use super::family::{config_count, no_extra_tensors, no_own_tensors};
use super::gemma3;
use super::mmproj;
use super::tensor_names::{StackedTensor, TensorNameMap};
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{GgufMetadata, MetadataValue};

/// The number of AltUp's streams; all but the first have projections.
const ALTUP_NUM_INPUTS: u32 = 4;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma3n",
    classes: &["Gemma3nForCausalLM", "Gemma3nForConditionalGeneration", "gemma3n_text", "gemma3n"],
    tensor_names: &TENSOR_NAMES,
    config_defaults: ConfigDefaults {
        vocab_size: Some(262_400),
        vocab_size_per_layer_input: Some(262_144),
        num_hidden_layers: Some(35),
        max_position_embeddings: Some(32_768),
        hidden_size: Some(2048),
        intermediate_size: Some(16_384),
        num_attention_heads: Some(8),
        num_key_value_heads: Some(2),
        sliding_window: Some(512),
        num_kv_shared_layers: Some(15),
        hidden_size_per_layer_input: Some(256),
        final_logit_softcapping: Some(30.0),
        ..ConfigDefaults::REQUIRED
    },
    attention: AttentionRules {
        query_scale: QueryScale::One,
        normalizes_values: true,
        stores_layer_types: true,
        ..AttentionRules::with_period(5)
    },
    norm_shift: 0.0,
    vocab_mismatch: VocabMismatch::ZeroPad,
    has_lm_head: true,
    target_mask_token: None,
    parameters,
    extra_tensors: no_extra_tensors,
    own_tensors: no_own_tensors,
    mmproj: &[&mmproj::GEMMA3N],
};

static TENSOR_NAMES: TensorNameMap = TensorNameMap {
    layer_tensors: &[
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
        ("altup.correction_coefs", "altup_correct_coef"),
        ("altup.correct_output_scale", "altup_correct_scale.weight"),
        ("altup.prediction_coefs", "altup_predict_coef"),
        ("altup.modality_router", "altup_router"),
        ("altup.router_norm", "altup_router_norm"),
        ("laurel.linear_left", "laurel_l"),
        ("laurel.linear_right", "laurel_r"),
        ("laurel.post_laurel_norm", "laurel_post_norm"),
        ("per_layer_input_gate", "inp_gate"),
        ("per_layer_projection", "proj"),
        ("post_per_layer_input_norm", "post_norm"),
    ],
    optional_layer_tensors: &[],
    model_tensors: &[
        ("embed_tokens_per_layer", "per_layer_token_embd"),
        ("per_layer_model_projection", "per_layer_model_proj"),
        ("per_layer_projection_norm", "per_layer_proj_norm"),
    ],
    optional_model_tensors: &[],
    stacked_tensors: &[
        altup_projections("altup_projections", "altup_proj.weight"),
        altup_projections("altup_unembed_projections", "altup_unembd_proj.weight"),
    ],
};

/// One projection for each stream but the first.
const fn altup_projections(modules: &'static str, name: &'static str) -> StackedTensor {
    StackedTensor { modules, name, count: ALTUP_NUM_INPUTS as usize - 1 }
}

fn parameters(family: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    let (config, defaults) = (source.files.config(), &family.config_defaults);
    let count = |field: &str, default: Option<u32>| config_count(config, field, default);
    let layers = count("num_hidden_layers", defaults.num_hidden_layers)?;
    let streams = count("altup_num_inputs", Some(ALTUP_NUM_INPUTS))?;
    if streams != ALTUP_NUM_INPUTS {
        let feature = format!("GGUF of a {} with altup_num_inputs {streams}", family.name);
        return Err(Error::unsupported(config.file(), feature));
    }
    gemma3::parameters(family, source, out)?;
    if !config.field("intermediate_size").value().is_some_and(Value::is_array) {
        // the class makes a list of one number a layer of it
        let size = count("intermediate_size", defaults.intermediate_size)?;
        out.set_arch_key("feed_forward_length", MetadataValue::I32s(vec![size as i32; layers as usize]));
    }
    out.set_arch_key("altup.active_idx", count("altup_active_idx", Some(0))?);
    out.set_arch_key("altup.num_inputs", streams);
    let per_layer = count("hidden_size_per_layer_input", defaults.hidden_size_per_layer_input)?;
    out.set_arch_key("embedding_length_per_layer_input", per_layer);
    out.set_arch_key(
        "attention.shared_kv_layers",
        count("num_kv_shared_layers", defaults.num_kv_shared_layers)?,
    );
    out.set_arch_key(
        "activation_sparsity_scale",
        MetadataValue::F32s(activation_sparsity_scale(config, layers)?),
    );
    let sliding = family.attention.sliding_layers(config, layers)?;
    out.set_arch_key("attention.sliding_window_pattern", layer_flags(&sliding));
    Ok(())
}

/// For each layer the number of standard deviations above the mean below which activations become 0.
fn activation_sparsity_scale(config: &ModelConfig, layers: u32) -> Result<Vec<f32>> {
    let pattern = config.field("activation_sparsity_pattern");
    let sparsities = match pattern.value() {
        None => (0..layers).map(|layer| if layers > 10 && layer < 10 { 0.95 } else { 0.0 }).collect(),
        Some(Value::Number(_)) => vec![pattern.f64()?.unwrap_or_default(); layers as usize],
        Some(_) => pattern.f64s()?.unwrap_or_default(),
    };
    if sparsities.len() != layers as usize {
        let problem =
            format!("has {} values in activation_sparsity_pattern for {layers} layers", sparsities.len());
        return Err(Error::invalid(config.file(), problem));
    }
    Ok(sparsities.into_iter().map(|sparsity| normal_icdf(sparsity as f32)).collect())
}
