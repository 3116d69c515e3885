//! The response of `POST /exports`.

use serde::Serialize;

use crate::domain::ExportId;

/// The export's record exists, and its job is starting.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportStarted {
    /// Always true.
    success: bool,
    /// Human-readable confirmation.
    message: String,
    /// The id of the new export.
    export_id: ExportId,
}

/// The header of a response that repeats an earlier one.
pub const REPLAYED: &str = "Idempotent-Replayed";

impl From<ExportId> for ExportStarted {
    fn from(export_id: ExportId) -> Self {
        Self { success: true, message: format!("Export job {export_id} started successfully"), export_id }
    }
}
