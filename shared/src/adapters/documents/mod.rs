//! The document formats of `training_jobs` and `exports`, the same in every store: JSON text in SQLite, fields in
//! Firestore.
//!
//! Parsing is lenient, because other services and an older version of this one also write these documents: times can be
//! strings or timestamps, and fields can be missing, null or unknown. Documents are written with all fields that the
//! older service requires, and updated field by field, so the fields of other services are preserved.

mod export;
mod json;
mod native;
mod time;
mod training_job;

pub use export::{ExportDocument, changed_fields};
pub use json::{apply, create, export, set_artifact, training_job};
pub use time::StoredTime;
pub use training_job::{TrainingJobDocument, newest_first};

/// The collection of the Training Service.
pub const TRAINING_JOBS: &str = "training_jobs";
/// The collection of this service.
pub const EXPORTS: &str = "exports";

/// Why a document cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A field is missing or invalid.
    #[error("{collection}/{id} cannot be parsed")]
    Shape {
        /// The collection.
        collection: &'static str,
        /// The document id.
        id: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DocumentError {
    pub(crate) fn new(
        collection: &'static str,
        id: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Shape { collection, id: id.to_owned(), source: source.into() }
    }
}

/// Logs that a document is skipped.
pub fn log_unreadable(error: &DocumentError) {
    let DocumentError::Shape { collection, id, source } = error;
    tracing::warn!(document.collection = collection, document.id = id, error = %source, "skipped a document that cannot be parsed");
}
