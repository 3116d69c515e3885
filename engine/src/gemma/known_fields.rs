//! The fields of `config.json` that transformers' classes of the families have, in version 5.23 and before. A field that is
//! not among them may change what a model computes without anybody here knowing it.

use serde_json::Value;

use crate::checkpoint::ModelConfig;
use crate::error::Result;

/// Fields of every configuration, and of its generation settings up to transformers 4.
const COMMON: &[&str] = &[
    "add_cross_attention",
    "architectures",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "pruned_heads",
    "quantization_config",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// Fields of the language models, and of the multimodal classes around them.
const LANGUAGE_MODEL: &[&str] = &[
    "activation_sparsity_pattern",
    "altup_active_idx",
    "altup_coef_clip",
    "altup_correct_scale",
    "altup_num_inputs",
    "attention_bias",
    "attention_dropout",
    "attention_k_eq_v",
    "attn_logit_softcapping",
    "audio_config",
    "audio_soft_tokens_per_image",
    "audio_token_id",
    "backbone_hidden_size",
    "block_size",
    "boa_token_id",
    "boi_token_id",
    "boi_token_index",
    "centroid_intermediate_top_k",
    "confidence_head_with_markov",
    "dflash_config",
    "draft_vocab_size",
    "enable_confidence_head",
    "enable_moe_block",
    "eoa_token_id",
    "eoa_token_index",
    "eoi_token_id",
    "eoi_token_index",
    "final_logit_softcapping",
    "global_head_dim",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "hidden_size",
    "hidden_size_per_layer_input",
    "image_token_id",
    "image_token_index",
    "intermediate_size",
    "is_causal",
    "laurel_rank",
    "layer_types",
    "markov_head_type",
    "markov_rank",
    "mask_token_id",
    "max_position_embeddings",
    "mm_tokens_per_image",
    "moe_intermediate_size",
    "num_anchors",
    "num_attention_heads",
    "num_centroids",
    "num_experts",
    "num_global_key_value_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_kv_shared_layers",
    "num_target_layers",
    "per_layer_config",
    "query_pre_attn_scalar",
    "rms_norm_eps",
    "rope_local_base_freq",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sample_from_anchor",
    "sliding_window",
    "sliding_window_pattern",
    "target_layer_ids",
    "text_config",
    "top_k_experts",
    "use_bidirectional_attention",
    "use_double_wide_mlp",
    "use_ordered_embeddings",
    "video_token_id",
    "vision_config",
    "vision_soft_tokens_per_image",
    "vocab_size",
    "vocab_size_per_layer_input",
];

/// Fields of the vision encoders.
const VISION: &[&str] = &[
    "architecture",
    "attention_bias",
    "attention_dropout",
    "do_pooling",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "hidden_size",
    "image_size",
    "intermediate_size",
    "label_names",
    "layer_norm_eps",
    "max_position_embeddings",
    "mm_embed_dim",
    "mm_posemb_size",
    "model_args",
    "model_patch_size",
    "num_attention_heads",
    "num_channels",
    "num_classes",
    "num_hidden_layers",
    "num_key_value_heads",
    "output_proj_dims",
    "patch_size",
    "pooling_kernel_size",
    "position_embedding_size",
    "rms_norm_eps",
    "rope_parameters",
    "standardize",
    "use_clipped_linears",
    "vision_use_head",
    "vocab_offset",
    "vocab_size",
];

/// Fields of the audio encoders.
const AUDIO: &[&str] = &[
    "attention_chunk_size",
    "attention_context_left",
    "attention_context_right",
    "attention_invalid_logits_value",
    "attention_logit_cap",
    "audio_embed_dim",
    "conf_attention_chunk_size",
    "conf_attention_context_left",
    "conf_attention_context_right",
    "conf_attention_logit_cap",
    "conf_conv_kernel_size",
    "conf_num_attention_heads",
    "conf_num_hidden_layers",
    "conf_reduction_factor",
    "conf_residual_weight",
    "conv_kernel_size",
    "gradient_clipping",
    "hidden_act",
    "hidden_size",
    "input_feat_size",
    "num_attention_heads",
    "num_hidden_layers",
    "output_proj_dims",
    "residual_weight",
    "rms_norm_eps",
    "sscp_conv_channel_size",
    "sscp_conv_group_norm_eps",
    "sscp_conv_kernel_size",
    "sscp_conv_stride_size",
    "subsampling_conv_channels",
    "use_clipped_linears",
    "vocab_offset",
    "vocab_size",
];

/// The fields of the language model that no known class has, with their values. A field that is null, false or empty is
/// none of them.
pub(crate) fn unknown_fields(config: &ModelConfig) -> Result<Vec<String>> {
    let nested = config.section("text_config")?;
    let nested = nested.map(|section| unknown_in(&section, LANGUAGE_MODEL, "text_config."));
    let mut unknown = unknown_in(config, LANGUAGE_MODEL, "");
    unknown.extend(nested.into_iter().flatten());
    Ok(unknown)
}

/// The same of the vision and audio encoders.
pub(crate) fn unknown_encoder_fields(config: &ModelConfig) -> Result<Vec<String>> {
    let of_section = |name: &str, known| {
        let section = config.section(name)?;
        let unknown = section.map(|section| unknown_in(&section, known, &format!("{name}.")));
        Ok(unknown.unwrap_or_default())
    };
    Ok([of_section("vision_config", VISION)?, of_section("audio_config", AUDIO)?].concat())
}

fn unknown_in(config: &ModelConfig, known: &[&str], prefix: &str) -> Vec<String> {
    let is_unknown =
        |field: &str| !(field.starts_with('_') || known.contains(&field) || COMMON.contains(&field));
    let unknown = config.fields().filter(|(field, value)| is_unknown(field) && is_set(value));
    unknown.map(|(field, value)| format!("{prefix}{field} {value}")).collect()
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ModelConfig {
        ModelConfig::parse("config.json".to_owned(), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_field_of_no_class_is_named_with_its_value() {
        let unknown = config(
            r#"{"hidden_size": 1, "attention_sink": 4, "new_norm": false, "text_config": {"gate": "x"}}"#,
        );
        assert_eq!(unknown_fields(&unknown).unwrap(), ["attention_sink 4", "text_config.gate \"x\""]);
        let encoders =
            config(r#"{"vision_config": {"patch_size": 4, "registers": 2}, "audio_config": null}"#);
        assert_eq!(unknown_encoder_fields(&encoders).unwrap(), ["vision_config.registers 2"]);
    }
}
