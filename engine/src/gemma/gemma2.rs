//! Gemma 2 (`Gemma2ForCausalLM`).

use super::attention::{AttentionRules, QueryScale};
use super::family::{ConfigDefaults, ModelFamily, ParameterSource, VocabMismatch};
use super::family::{config_count, no_extra_tensors, no_own_tensors};
use super::gemma1;
use super::tensor_names::TensorNameMap;
use crate::error::Result;
use crate::gguf::GgufMetadata;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma2",
    classes: &["Gemma2ForCausalLM", "gemma2"],
    tensor_names: &TensorNameMap::of_layers(&[
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]),
    config_defaults: ConfigDefaults {
        vocab_size: Some(256_000),
        max_position_embeddings: Some(8192),
        num_key_value_heads: Some(4),
        sliding_window: Some(4096),
        attn_logit_softcapping: Some(50.0),
        final_logit_softcapping: Some(30.0),
        ..ConfigDefaults::REQUIRED
    },
    attention: AttentionRules {
        query_scale: QueryScale::HeadDim { unless_layers: Some(46) },
        reads_query_scalar: true,
        has_local_rope: false,
        ..AttentionRules::with_period(2)
    },
    norm_shift: 1.0,
    vocab_mismatch: VocabMismatch::Reject,
    has_lm_head: false,
    target_mask_token: None,
    parameters,
    extra_tensors: no_extra_tensors,
    own_tensors: no_own_tensors,
    mmproj: &[],
};

fn parameters(family: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    gemma1::parameters(family, source, out)?;
    let (config, defaults) = (source.files.config(), &family.config_defaults);
    for (field, default) in [
        ("attn_logit_softcapping", defaults.attn_logit_softcapping),
        ("final_logit_softcapping", defaults.final_logit_softcapping),
    ] {
        if let Some(cap) = config.f32(field)?.or(default) {
            out.set_arch_key(field, cap);
        }
    }
    let window = config_count(config, "sliding_window", defaults.sliding_window)?;
    out.set_arch_key("attention.sliding_window", window);
    Ok(())
}
