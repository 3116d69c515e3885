//! What an export would make, without making it.

use serde::Serialize;

use super::{FindingSeverity, HubRepo};

/// What an export would read, write and cost, and what is known about its inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// The files to download, and those of the repository on the Hub, without its card.
    pub files: Vec<ExpectedFile>,
    /// The bytes that the export reads, as far as they are known: those of weights and packed files.
    pub bytes_read: u64,
    /// The bytes that the export writes to buckets and to the Hub, without its reports.
    pub bytes_written: u64,
    /// The number of parameters of the exported model; null for an adapter.
    pub parameters: Option<u64>,
    /// With `max_bytes`, how many tensors have each of the types that are chosen; else null.
    pub types: Option<Vec<TypeCount>>,
    /// The adapter; null for a full fine-tune, and if the merged model of an earlier export is converted.
    pub adapter: Option<AdapterSummary>,
    /// The base model; null if none is needed or named.
    pub base: Option<BaseSummary>,
    /// The repository on the Hub; null if the Hub is no destination.
    pub hub: Option<RepositorySummary>,
    /// Whether the files exist, made by an earlier export of the same inputs and options. False also if that cannot be known
    /// without reading the weights.
    pub reused: bool,
    /// How long it takes, and what it costs.
    pub estimate: Estimate,
    /// What does not prevent the export, and should be known before it.
    pub warnings: Vec<PlanWarning>,
}

/// A file that an export will write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExpectedFile {
    /// The name.
    pub name: String,
    /// The exact size in bytes; null for a report, whose length depends on the weights.
    pub bytes: Option<u64>,
}

/// A type of tensors in a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeCount {
    /// The type, as llama.cpp names it.
    #[serde(rename = "type")]
    pub name: String,
    /// How many tensors have it.
    pub tensors: u32,
}

/// A LoRA adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PlannedAdapter))]
pub struct AdapterSummary {
    /// Number of adapter modules.
    pub pairs: u32,
    /// The rank of modules without one of their own.
    pub rank: u32,
    /// The numerator of the scaling.
    pub alpha: f64,
    /// Whether it is DoRA.
    pub dora: bool,
    /// Whether the scaling is that of rsLoRA.
    pub rslora: bool,
}

/// A base model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PlannedBase))]
pub struct BaseSummary {
    /// The name on the Hub.
    pub model: String,
    /// The commit that is read; null in a bucket, and if the model could not be read.
    pub revision: Option<String>,
    /// Where it is read from; null if it could not be read.
    pub source: Option<BaseSource>,
    /// Whether it can be read. An export that needs it is refused unless that is `ok`.
    pub access: BaseAccess,
}

/// Where a base model is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BaseSource {
    /// The bucket of base models.
    Bucket,
    /// The Hugging Face Hub.
    Hub,
}

/// Whether a base model can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BaseAccess {
    /// It can be read.
    Ok,
    /// It is gated, and the token has no access to it.
    Gated,
    /// It may not be read.
    Denied,
    /// It does not exist, or is hidden from the token.
    Missing,
    /// The Hub did not answer, or what it has is no model.
    Unavailable,
}

/// A repository on the Hub that an export would be pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PlannedRepository))]
pub struct RepositorySummary {
    /// The name.
    pub repo: HubRepo,
    /// Whether it exists. If not, the export creates it.
    pub exists: bool,
    /// Whether only its owner can read it; what the export would create if it does not exist.
    pub private: bool,
    /// Whether the token may write to it; null if the Hub does not say.
    pub may_write: Option<bool>,
}

/// How long an export takes, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// Seconds from the start of the job to its end.
    pub seconds: u64,
    /// List price of the job's time in US dollars, without storage and downloads.
    pub usd: f64,
}

/// What should be known before an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanWarning {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// How serious it is: `warning` or `error`.
    pub severity: FindingSeverity,
    /// What to do about it; null if the message says it.
    pub remedy: Option<String>,
}
