//! Checks the shapes of tensors against the sizes in the metadata: llama.cpp does not load a file in which they differ.

use super::planned_tensor::PlannedTensor;
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;
use crate::merge::Model;

/// The sizes of a model whose layers are all alike; `None` where layers differ, or the family has another rule.
struct LayerSizes {
    hidden: Option<u64>,
    intermediate: Option<u64>,
    head_dim: Option<u64>,
    /// Elements of all queries, and of all keys or values, of a token.
    queries: Option<u64>,
    keys: Option<u64>,
}

impl LayerSizes {
    fn of(metadata: &GgufMetadata) -> Self {
        let size = |key: &str| metadata.arch_u32(key).map(u64::from);
        // families with another head size in sliding layers (Gemma 4) may have wider layers, too
        let is_uniform = metadata.arch_value("attention.key_length_swa").is_none();
        let head_dim = size("attention.key_length").filter(|_| is_uniform);
        let heads = |key: &str| Some(head_dim? * size(key)?);
        Self {
            hidden: size("embedding_length"),
            intermediate: size("feed_forward_length").filter(|_| is_uniform),
            head_dim,
            queries: heads("attention.head_count"),
            keys: heads("attention.head_count_kv"),
        }
    }

    /// The shape of a tensor, rows first, by its GGUF name; `None` where it is not known. Vectors have one size.
    fn expected(&self, name: &str) -> Option<Vec<u64>> {
        let name = match name.strip_prefix("blk.") {
            Some(rest) => rest.split_once('.')?.1,
            None => name,
        };
        let sizes = match name.strip_suffix(".weight")? {
            "attn_q" => [self.queries, self.hidden],
            "attn_k" | "attn_v" => [self.keys, self.hidden],
            "attn_output" => [self.hidden, self.queries],
            "ffn_gate" | "ffn_up" => [self.intermediate, self.hidden],
            "ffn_down" => [self.hidden, self.intermediate],
            "attn_q_norm" | "attn_k_norm" => return Some(vec![self.head_dim?]),
            "attn_norm" | "post_attention_norm" | "ffn_norm" | "post_ffw_norm" | "output_norm" => {
                return Some(vec![self.hidden?]);
            }
            _ => return None,
        };
        Some(vec![sizes[0]?, sizes[1]?])
    }
}

/// # Errors
/// [`Error::InvalidTensor`] with the shape and the one that `config.json` requires.
pub(super) fn check_shapes(model: &Model, metadata: &GgufMetadata, tensors: &[PlannedTensor]) -> Result<()> {
    let sizes = LayerSizes::of(metadata);
    for tensor in tensors {
        let Some(expected) = sizes.expected(&tensor.name).filter(|expected| *expected != tensor.shape) else {
            continue;
        };
        let Some(source) = tensor.tensors().next().map(|number| &model.tensors()[number]) else { continue };
        let problem = format!("has the shape {:?}, but config.json requires {expected:?}", tensor.shape);
        return Err(Error::tensor(model.file_of(source), &source.info.name, problem));
    }
    Ok(())
}
