//! The assistants of Gemma 4 and Gemma 4 Unified, which draft tokens for them: decoder layers between two projections,
//! which use the keys and values of the model they assist.

use super::attention::AttentionRules;
use super::family::{ConfigDefaults, ModelFamily, OwnTensors, ParameterSource, VocabMismatch};
use super::gemma4;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma4-assistant",
    classes: &[
        "Gemma4AssistantForCausalLM",
        "Gemma4UnifiedAssistantForCausalLM",
        "gemma4_assistant",
        "gemma4_unified_assistant",
    ],
    tensor_names: &TensorNameMap {
        layer_tensors: &gemma4::LAYER_TENSORS,
        optional_layer_tensors: &[LAYER_SCALE],
        model_tensors: &[
            ("pre_projection.weight", "nextn.pre_projection.weight"),
            ("post_projection.weight", "nextn.post_projection.weight"),
        ],
        optional_model_tensors: &[],
        stacked_tensors: &[],
    },
    config_defaults: ConfigDefaults { hidden_size_per_layer_input: Some(0), ..gemma4::CONFIG_DEFAULTS },
    attention: AttentionRules { has_own_kv: false, ..gemma4::ATTENTION },
    norm_shift: 0.0,
    vocab_mismatch: VocabMismatch::Truncate,
    has_lm_head: false,
    target_mask_token: None,
    parameters,
    extra_tensors: gemma4::rope_freqs,
    own_tensors,
    mmproj: &[],
};

const LAYER_SCALE: (&str, &str) = ("layer_scalar", "layer_output_scale.weight");

fn own_tensors(_: &ModelFamily, _: &ModelConfig, layer: Option<u32>) -> Result<OwnTensors> {
    let required = layer.map(|_| LAYER_SCALE.1).into_iter().collect();
    Ok(OwnTensors { required, ..OwnTensors::default() })
}

fn parameters(family: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    let config = source.files.config();
    gemma4::decoder_parameters(family, source, out)?;
    let Some(backbone_hidden_size) = config.top_level("backbone_hidden_size").u32()? else {
        return Err(Error::invalid(config.file(), "has no backbone_hidden_size"));
    };
    out.set_arch_key("embedding_length_out", backbone_hidden_size);
    let Some(layers) = out.arch_u32("block_count") else {
        return Err(Error::invalid(config.file(), "has no num_hidden_layers"));
    };
    let shared = config.field("num_kv_shared_layers");
    if shared.u32()?.is_some_and(|shared| shared != 0 && shared != layers) {
        return Err(
            shared.invalid(format!("is not the number of layers, {layers}: an assistant shares all of them"))
        );
    }
    out.set_arch_key("attention.shared_kv_layers", layers);
    out.set_arch_key("nextn_predict_layers", layers);
    Ok(())
}
