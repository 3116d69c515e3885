//! Gemma 3n (`Gemma3nForCausalLM`, and the language model of `Gemma3nForConditionalGeneration`): four streams of
//! predictions (AltUp), low-rank residuals (Laurel), embeddings for each layer.

use super::gemma3;
use super::gemma3::ConfigDefaults;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{GgufMetadata, MetadataValue};
use crate::numerics::torch::normal_icdf;

pub(super) const NAMES: TensorNameMap = TensorNameMap {
    layer: &[
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
    some_layers: &[],
    model: &[
        ("embed_tokens_per_layer", "per_layer_token_embd"),
        ("per_layer_model_projection", "per_layer_model_proj"),
        ("per_layer_projection_norm", "per_layer_proj_norm"),
    ],
    some_models: &[],
    lists: &[
        ("altup_projections", "altup_proj.weight"),
        ("altup_unembed_projections", "altup_unembd_proj.weight"),
    ],
};

/// The number of streams; all but the first have their projections.
pub(super) const STREAMS: u32 = 4;

const DEFAULTS: ConfigDefaults = ConfigDefaults {
    layers: 35,
    context: 32_768,
    width: 2048,
    feed_forward: 16_384,
    heads: 8,
    key_value_heads: 2,
    window: 512,
    softcap: Some(30.0),
};

pub(super) fn parameters(config: &ModelConfig, file_type: u32, out: &mut GgufMetadata) -> Result<()> {
    let count = |key: &str, default: u32| Ok::<u32, Error>(config.u32(key)?.unwrap_or(default));
    let layers = count("num_hidden_layers", DEFAULTS.layers)?;
    let streams = count("altup_num_inputs", STREAMS)?;
    if streams != STREAMS {
        let feature = format!("GGUF with altup_num_inputs {streams}");
        return Err(Error::unsupported(config.file(), feature));
    }
    gemma3::common(config, &DEFAULTS, file_type, out)?;
    if config.get("intermediate_size").is_none_or(serde_json::Value::is_number) {
        // one for each layer, as the class makes of it
        let width = count("intermediate_size", DEFAULTS.feed_forward)?;
        out.own("feed_forward_length", MetadataValue::I32s(vec![width as i32; layers as usize]));
    }
    out.own("altup.active_idx", count("altup_active_idx", 0)?);
    out.own("altup.num_inputs", streams);
    out.own("embedding_length_per_layer_input", count("hidden_size_per_layer_input", 256)?);
    out.own("attention.shared_kv_layers", count("num_kv_shared_layers", 15)?);
    out.own("activation_sparsity_scale", MetadataValue::F32s(sparsity(config, layers)?));
    let sliding = gemma3::sliding(config, 5, layers)?;
    out.own("attention.sliding_window_pattern", gemma3::switches(&sliding));
    Ok(())
}

/// How many standard deviations above the mean an activation must be to stay, by layer.
fn sparsity(config: &ModelConfig, layers: u32) -> Result<Vec<f32>> {
    let shares = match config.get("activation_sparsity_pattern") {
        None => (0..layers).map(|layer| if layers > 10 && layer < 10 { 0.95 } else { 0.0 }).collect(),
        Some(pattern) if pattern.is_number() => vec![pattern.as_f64().unwrap_or_default(); layers as usize],
        Some(pattern) => {
            let list = pattern.as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(serde_json::Value::as_f64).collect::<Vec<_>>()
        }
    };
    if shares.len() != layers as usize {
        let problem =
            format!("has {} values in activation_sparsity_pattern for {layers} layers", shares.len());
        return Err(Error::invalid(config.file(), problem));
    }
    Ok(shares.into_iter().map(|share| normal_icdf(share as f32)).collect())
}
