//! The changes of an adapter and their targets.

use serde::Serialize;

use crate::merge::{Model, ModelTensor};
use crate::peft::{AdapterChange, ChangeKind};

/// A change of the adapter and its target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterPair {
    /// The target, by the name the adapter has for it.
    pub module: String,
    /// `lora`, `dora`, `lora_embedding`, `lora_bias`, `trainable_tokens` or `modules_to_save`.
    pub kind: &'static str,
    /// The rank, where there are factors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// The factor of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<f32>,
    /// The tensor of the model.
    pub tensor: String,
}

/// All changes, in the adapter's order.
pub(crate) fn adapter_pairs(model: &Model) -> Vec<AdapterPair> {
    let matched = model.matched_changes().into_iter();
    let pair = |(change, tensor): (&AdapterChange, &ModelTensor)| {
        let (kind, rank, scaling) = describe(&change.kind);
        AdapterPair { module: change.target.clone(), kind, rank, scaling, tensor: tensor.info.name.clone() }
    };
    matched.map(pair).collect()
}

fn describe(kind: &ChangeKind) -> (&'static str, Option<u64>, Option<f32>) {
    match kind {
        ChangeKind::LowRank { a, scaling, magnitude, .. } => {
            let kind = if magnitude.is_some() { "dora" } else { "lora" };
            (kind, a.shape.first().copied(), Some(*scaling))
        }
        ChangeKind::ExpertLowRank { rank, scaling, .. } => ("lora", Some(*rank), Some(*scaling)),
        ChangeKind::Embedding { a, scaling, .. } => {
            ("lora_embedding", a.shape.first().copied(), Some(*scaling))
        }
        ChangeKind::TokenRows { .. } => ("trainable_tokens", None, None),
        ChangeKind::Replace(_) => ("modules_to_save", None, None),
        ChangeKind::LoraBias { scaling, .. } => ("lora_bias", None, Some(*scaling)),
    }
}
