//! Summary of the verification report of an export. The full report is stored next to the artifact.

use serde::{Deserialize, Serialize};

use super::{Finding, SurvivalShare};

/// Summary of the export report. Numbers that are not finite are null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// Number of adapter modules; each was merged into a tensor.
    pub pairs: u32,
    /// Number of tensors that differ from the base model.
    pub tensors_changed: u32,
    /// Number of tensors that equal the base model byte for byte, before quantization.
    pub tensors_unchanged: u32,
    /// The largest absolute change of a weight.
    pub largest_change: Option<f64>,
    /// Root mean squared error of a GGUF's weights, compared with the merged weights.
    pub rmse: Option<f64>,
    /// SHA-256 of the file to download, if there is one.
    pub sha256: Option<String>,
    /// SHA-256 of the report, which contains the SHA-256 of all other files.
    pub report_sha256: String,
    /// Comparison of the predictions with those of base model and adapter, if that takes no longer than the job is configured to spend on it.
    #[serde(default)]
    pub logits: Option<LogitDivergence>,
    /// How much of the fine-tune is left, where the logits are compared and the export has an adapter.
    #[serde(default)]
    pub survival: Option<SurvivalShare>,
    /// What programs that serve the model will meet, the most serious first.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// Divergence of the next-token predictions from those of base model and adapter, over the prompts of `survival`, or a few fixed
/// ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Logits))]
pub struct LogitDivergence {
    /// Number of predicted tokens.
    pub tokens: u32,
    /// Mean Kullback-Leibler divergence, in nats.
    pub kl_mean: f64,
    /// Maximum Kullback-Leibler divergence, in nats.
    pub kl_max: f64,
    /// Share of tokens with the same most likely prediction, from 0 to 1.
    pub top1: f64,
}
