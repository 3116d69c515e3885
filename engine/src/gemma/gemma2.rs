//! Gemma 2 (`Gemma2ForCausalLM`).

use super::gemma1;
use super::tensor_names::TensorNameMap;
use crate::checkpoint::ModelConfig;
use crate::error::Result;
use crate::gguf::GgufMetadata;

/// A layer's modules.
pub(super) const NAMES: TensorNameMap = TensorNameMap::layers(&[
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
]);

/// `Gemma2Config`'s value where `config.json` has none.
const KEY_VALUE_HEADS: u32 = 4;

pub(super) fn parameters(config: &ModelConfig, file_type: u32, out: &mut GgufMetadata) -> Result<()> {
    gemma1::common(config, file_type, KEY_VALUE_HEADS, out)?;
    out.own("attn_logit_softcapping", config.f32("attn_logit_softcapping")?.unwrap_or(50.0));
    out.own("final_logit_softcapping", config.f32("final_logit_softcapping")?.unwrap_or(30.0));
    out.own("attention.sliding_window", config.u32("sliding_window")?.unwrap_or(4096));
    Ok(())
}
