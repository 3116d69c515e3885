//! Which layers use a sliding window, which share keys and values, and how queries are scaled.

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::MetadataValue;

/// What a family's attention has in common in all its sizes.
#[derive(Debug)]
pub(crate) struct AttentionRules {
    /// Every n-th layer uses global attention and the others a sliding window, unless `layer_types` overrides it.
    pub(crate) sliding_period: u32,
    /// Whether the files store which layers use a sliding window. Otherwise llama.cpp takes the family's period.
    pub(crate) stores_layer_types: bool,
    pub(crate) query_scale: QueryScale,
    /// Whether the class reads `query_pre_attn_scalar` and `use_bidirectional_attention`, for which a GGUF file has no
    /// keys.
    pub(crate) reads_query_scalar: bool,
    /// Whether layers with a sliding window have a base frequency of RoPE of their own.
    pub(super) has_local_rope: bool,
    /// Whether values are normalized, as keys are.
    pub(crate) normalizes_values: bool,
    /// Whether a token attends only to itself and the tokens before it.
    pub(crate) is_causal: bool,
    /// `false` if layers use the keys and values of another model, for which this one drafts tokens.
    pub(crate) has_own_kv: bool,
}

impl AttentionRules {
    /// Causal attention that scales queries by the size of a head in every layer.
    pub(super) const fn with_period(sliding_period: u32) -> Self {
        Self {
            sliding_period,
            stores_layer_types: false,
            query_scale: QueryScale::HeadDim { unless_layers: None },
            reads_query_scalar: false,
            has_local_rope: true,
            normalizes_values: false,
            is_causal: true,
            has_own_kv: true,
        }
    }

    /// Whether this layer (from 0) uses a sliding window.
    pub(crate) fn is_sliding(&self, layer: usize) -> bool {
        !(layer + 1).is_multiple_of(self.sliding_period as usize)
    }

    /// For each layer whether it uses a sliding window: `layer_types`, else every n-th does not. Classes whose files do not
    /// store the layers read n from `sliding_window_pattern`; the others have the family's period.
    pub(crate) fn sliding_layers(&self, config: &ModelConfig, layers: u32) -> Result<Vec<bool>> {
        let Some(types) = config.field("layer_types").strs()? else {
            let pattern = match config.u32("sliding_window_pattern")? {
                _ if self.stores_layer_types => None,
                Some(period) => Some(period),
                None => config.u32("_sliding_window_pattern")?,
            };
            let period = pattern.unwrap_or(self.sliding_period).max(1);
            return Ok((1..=layers).map(|layer| !layer.is_multiple_of(period)).collect());
        };
        if types.len() != layers as usize {
            let problem = format!("has {} layer_types for {layers} layers", types.len());
            return Err(Error::invalid(config.file(), problem));
        }
        Ok(types.into_iter().map(|kind| kind == "sliding_attention").collect())
    }
}

/// The factor of queries before they are multiplied with keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum QueryScale {
    /// 1/√head_dim, but 1/√(hidden_size / attention heads) in the size that has `unless_layers` layers.
    HeadDim { unless_layers: Option<usize> },
    /// 1: the norms of queries and keys set the scale.
    One,
}

/// The sizes that the scale of queries depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionSizes {
    pub(crate) layers: usize,
    pub(crate) hidden_size: usize,
    pub(crate) attention_heads: usize,
    pub(crate) head_dim: usize,
}

impl QueryScale {
    pub(crate) fn value(self, sizes: AttentionSizes) -> f32 {
        let divisor = match self {
            Self::One => return 1.0,
            Self::HeadDim { unless_layers } if unless_layers == Some(sizes.layers) => {
                sizes.hidden_size / sizes.attention_heads.max(1)
            }
            Self::HeadDim { .. } => sizes.head_dim,
        };
        (divisor as f32).sqrt().recip()
    }
}

/// The first of `layers` layers that uses the keys and values of a layer before it, where the last
/// `num_kv_shared_layers` do.
pub(crate) fn first_kv_shared_layer(layers: usize, num_kv_shared_layers: usize) -> usize {
    layers.saturating_sub(num_kv_shared_layers)
}

/// A list of one boolean for each layer.
pub(crate) fn layer_flags(flags: &[bool]) -> MetadataValue {
    const BOOL: u32 = 7;
    MetadataValue::List(BOOL, flags.iter().copied().map(MetadataValue::Bool).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_layer_uses_global_attention() {
        let sliding: Vec<bool> =
            (0..6).map(|layer| AttentionRules::with_period(3).is_sliding(layer)).collect();
        assert_eq!(sliding, [true, true, false, true, true, false]);
        assert!(!AttentionRules::with_period(1).is_sliding(0));
    }

    #[test]
    fn one_size_scales_by_the_hidden_size() {
        let scale = QueryScale::HeadDim { unless_layers: Some(46) };
        let sizes = AttentionSizes { layers: 46, hidden_size: 4608, attention_heads: 32, head_dim: 128 };
        assert_eq!(scale.value(sizes), 1.0 / 12.0);
        assert_eq!(scale.value(AttentionSizes { layers: 26, head_dim: 256, ..sizes }), 1.0 / 16.0);
    }
}
