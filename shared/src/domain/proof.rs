//! What an export proved about what it made, in a few numbers. The whole is in the report beside the artifact.

use serde::{Deserialize, Serialize};

/// The summary of a report. Numbers that are not finite are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// Parts of the adapter, each of which went to a tensor.
    pub pairs: u32,
    /// Tensors that differ from the base model's.
    pub tensors_changed: u32,
    /// Tensors that are the base model's, byte for byte, before any quantisation.
    pub tensors_unchanged: u32,
    /// The largest change of a weight.
    pub largest_change: Option<f64>,
    /// The root of the mean squared error of a GGUF's weights against the merged ones.
    pub rmse: Option<f64>,
    /// The SHA-256 of the file that people download, if there is one.
    pub sha256: Option<String>,
    /// The SHA-256 of the report, which has those of everything else.
    pub report_sha256: String,
    /// How close its predictions are to those of base and adapter, where the job was told to compare them.
    #[serde(default)]
    pub logits: Option<Logits>,
}

/// How close an export's predictions of the next token are to those of base and adapter, over a few fixed prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Logits {
    /// Tokens predicted.
    pub tokens: u32,
    /// The mean Kullback-Leibler divergence from the predictions of base and adapter, in nats.
    pub kl_mean: f64,
    /// The largest.
    pub kl_max: f64,
    /// The share of tokens for which both find the same one most likely, from 0 to 1.
    pub top1: f64,
}
