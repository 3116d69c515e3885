//! The shapes that a configuration gives the tensors of an encoder's layers.

use super::family::count;
use crate::checkpoint::ModelConfig;
use crate::error::Result;
use crate::gemma::ExpectedShape;

/// The sizes of an encoder's layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncoderSizes {
    pub(super) hidden: u64,
    pub(super) intermediate: u64,
    pub(super) head_dim: u64,
    /// Elements of all queries, and of all keys or values, of a position.
    pub(super) queries: u64,
    pub(super) keys: u64,
    /// The width of a depthwise convolution; `None` in layers without.
    pub(super) convolution: Option<u64>,
}

impl EncoderSizes {
    /// An encoder whose heads have the hidden size together.
    pub(super) fn with_heads(hidden: u32, intermediate: u32, heads: u32) -> Self {
        let hidden = u64::from(hidden);
        let (intermediate, head_dim) = (u64::from(intermediate), hidden / u64::from(heads.max(1)));
        Self { hidden, intermediate, head_dim, queries: hidden, keys: hidden, convolution: None }
    }

    /// A conformer, whose feed-forward layers are four times as wide.
    pub(super) fn conformer(audio: &ModelConfig, default: u32, heads: &str, kernel: &str) -> Result<Self> {
        let hidden = count(audio, "hidden_size", default)?;
        let sizes = Self::with_heads(hidden, hidden.saturating_mul(4), count(audio, heads, 8)?);
        Ok(Self { convolution: Some(count(audio, kernel, 5)?.into()), ..sizes })
    }

    /// The shape of a layer's tensor in the checkpoint, by its GGUF name without the layer; `None` where it is not known.
    pub(super) fn in_layer(&self, name: &str) -> Option<ExpectedShape> {
        let Self { hidden, intermediate, head_dim, queries, keys, convolution } = *self;
        let (module, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
        let (rows, columns) = match module {
            "attn_q" | "attn_k_rel" | "linear_pos" => (queries, hidden),
            "attn_k" | "attn_v" => (keys, hidden),
            "attn_out" => (hidden, queries),
            "ffn_gate" | "ffn_up" | "ffn_up_1" => (intermediate, hidden),
            "ffn_down" | "ffn_down_1" => (hidden, intermediate),
            "conv_pw1" => (2 * hidden, hidden),
            "conv_pw2" => (hidden, hidden),
            "conv_dw" => {
                let shape = convolution.map(|width| ExpectedShape::exact([hidden, 1, width]));
                return shape.filter(|_| suffix == "weight");
            }
            "attn_q_norm" | "attn_k_norm" | "per_dim_scale" => {
                return matches!(suffix, "weight" | "").then(|| ExpectedShape::exact([head_dim]));
            }
            norm if norm.contains("norm") || matches!(norm, "ln1" | "ln2") => {
                return matches!(suffix, "weight" | "bias").then(|| ExpectedShape::exact([hidden]));
            }
            _ => return None,
        };
        match suffix {
            "weight" => Some(ExpectedShape::exact([rows, columns])),
            "bias" => Some(ExpectedShape::exact([rows])),
            _ => None,
        }
    }
}
