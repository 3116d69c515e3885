//! The parts of an adapter and their homes.

use serde::Serialize;

use crate::merge::{Model, ModelTensor};
use crate::peft::{AdapterChange, ChangeKind};

/// A part of an adapter and the tensor it went to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterPair {
    /// What the adapter calls its target.
    pub module: String,
    /// `lora`, `dora`, `lora_embedding`, `lora_bias`, `trainable_tokens` or `modules_to_save`.
    pub kind: &'static str,
    /// The rank, where there are factors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// What the product is multiplied with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<f32>,
    /// The tensor of the model.
    pub tensor: String,
}

/// All of them, in the adapter's order.
pub(crate) fn adapter_pairs(model: &Model) -> Vec<AdapterPair> {
    let placed = model.placed().into_iter();
    let pair = |(module, tensor): (&AdapterChange, &ModelTensor)| {
        let (kind, rank, scaling) = describe(&module.change);
        AdapterPair { module: module.target.clone(), kind, rank, scaling, tensor: tensor.info.name.clone() }
    };
    placed.map(pair).collect()
}

fn describe(change: &ChangeKind) -> (&'static str, Option<u64>, Option<f32>) {
    match change {
        ChangeKind::LowRank { a, scaling, magnitude, .. } => {
            let kind = if magnitude.is_some() { "dora" } else { "lora" };
            (kind, a.shape.first().copied(), Some(*scaling))
        }
        ChangeKind::Embedding { a, scaling, .. } => {
            ("lora_embedding", a.shape.first().copied(), Some(*scaling))
        }
        ChangeKind::Rows { .. } => ("trainable_tokens", None, None),
        ChangeKind::Whole(_) => ("modules_to_save", None, None),
        ChangeKind::Add { scaling, .. } => ("lora_bias", None, Some(*scaling)),
    }
}
