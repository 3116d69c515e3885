//! Documents as JSON, for stores that store JSON text. An update writes only the changed fields.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{DocumentError, EXPORTS, ExportDocument, TRAINING_JOBS, TrainingJobDocument, changed_fields};
use crate::domain::{Artifact, Export, TrainingJob, Transition, TransitionError};

/// The document of an export.
#[must_use]
pub fn create(export: &Export) -> Value {
    Value::Object(super::export::fields(export))
}

/// Parses `exports/{id}`.
///
/// # Errors
/// If the document has missing or invalid fields.
pub fn export(id: &str, document: &Value) -> Result<Export, DocumentError> {
    let read: ExportDocument = serde::Deserialize::deserialize(document)
        .map_err(|e: serde_json::Error| DocumentError::new(EXPORTS, id, e))?;
    read.into_export(id)
}

/// Parses `training_jobs/{id}`.
///
/// # Errors
/// If the document has missing or invalid fields.
pub fn training_job(id: &str, document: &Value) -> Result<TrainingJob, DocumentError> {
    let read: TrainingJobDocument = serde::Deserialize::deserialize(document)
        .map_err(|e: serde_json::Error| DocumentError::new(TRAINING_JOBS, id, e))?;
    read.into_job(id)
}

/// Applies `transition` at `now` to the document of `stored` and returns the new state. A rejected transition does not
/// change the document.
///
/// # Errors
/// The same as [`Export::apply`].
pub fn apply(
    document: &mut Value,
    stored: Export,
    transition: &Transition,
    now: Timestamp,
) -> Result<Export, TransitionError> {
    let after = stored.clone().apply(transition, now)?;
    let new = create(&after);
    for path in changed_fields(&stored, &after) {
        let value = path.split('.').fold(&new, |value, name| &value[name]);
        set(document, &path, value.clone());
    }
    Ok(after)
}

/// Sets `artifacts.{variant}.{type}` in the document of a training job.
pub fn set_artifact(document: &mut Value, artifact: &Artifact) {
    let path = format!("artifacts.{}.{}", artifact.variant.as_str(), artifact.kind.as_str());
    set(document, &path, Value::String(artifact.path.clone()));
}

/// Sets the value at a dotted path. A value on the path that is not a map is replaced by a map.
fn set(document: &mut Value, path: &str, value: Value) {
    let target = path.split('.').fold(document, |value, name| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[name]
    });
    *target = value;
}
