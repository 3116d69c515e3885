//! The stored shapes of `training_jobs` and `exports`, the same for every store: JSON text in SQLite, fields in
//! Firestore. They are read leniently, because other services and an older version of this one write there too:
//! times as text or as timestamps, fields missing or null, fields this service does not know. They are written with
//! everything the older service requires, and updated field by field, so that what others wrote survives.

mod export;
mod json;
mod time;
mod training_job;

pub use export::{ExportDocument, changed_fields};
pub use json::{apply, create, export, set_artifact, training_job};
pub use time::StoredTime;
pub use training_job::{TrainingJobDocument, newest_first};

/// Collection of the Training Service's jobs.
pub const TRAINING_JOBS: &str = "training_jobs";
/// Collection of this service's exports.
pub const EXPORTS: &str = "exports";

/// Why a document cannot be read. Not a reason to hide others.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It does not have the shape.
    #[error("{collection}/{id} cannot be read")]
    Shape {
        /// Where it is.
        collection: &'static str,
        /// Its id.
        id: String,
        /// What is wrong with it.
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

/// Logs a document that is passed over.
pub fn log_unreadable(error: &DocumentError) {
    let DocumentError::Shape { collection, id, source } = error;
    tracing::warn!(document.collection = collection, document.id = id, error = %source, "left out an unreadable document");
}
