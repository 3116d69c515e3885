//! What programs that serve an exported model will meet.

use serde::{Deserialize, Serialize};

/// Something that programs which serve the model will meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// For programs, such as `turn_end_not_in_stop_set`.
    pub code: String,
    /// How serious it is.
    pub severity: FindingSeverity,
    /// What is the matter.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingSeverity {
    /// A property of the model, which its users should know.
    Note,
    /// Likely an oversight.
    Warning,
    /// The model cannot be served as it was trained.
    Error,
}
