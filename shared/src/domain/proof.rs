//! Summary of the verification report of an export. The full report is stored next to the artifact.

use serde::{Deserialize, Serialize};

use super::Finding;

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

/// How much of the fine-tune's effect on predictions an export keeps, over a few fixed texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Survival))]
pub struct SurvivalShare {
    /// 1 − `kl_export` / `kl_base`; null if the fine-tune changes these predictions too little to be measured.
    pub survival: Option<f64>,
    /// Mean Kullback-Leibler divergence of the export from base model and adapter, in nats.
    pub kl_export: f64,
    /// Mean Kullback-Leibler divergence of the base model from base model and adapter, in nats.
    pub kl_base: f64,
    /// Share of the tokens that the fine-tune changes whose most likely prediction is kept; null if there are none.
    pub changed_top1: Option<f64>,
}

/// Divergence of the next-token predictions from those of base model and adapter, over a few fixed prompts.
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
