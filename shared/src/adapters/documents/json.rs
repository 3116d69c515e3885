//! Documents as JSON, for stores that keep them so. An update touches the changed fields and nothing else.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{DocumentError, EXPORTS, ExportDocument, TRAINING_JOBS, TrainingJobDocument, changed_fields};
use crate::domain::{Artifact, Export, Refused, TrainingJob, Transition};

/// A new export's document.
#[must_use]
pub fn create(export: &Export) -> Value {
    Value::Object(super::export::fields(export))
}

/// Reads `exports/{id}`.
///
/// # Errors
/// When the document does not have the shape.
pub fn export(id: &str, document: &Value) -> Result<Export, DocumentError> {
    let read: ExportDocument = serde::Deserialize::deserialize(document)
        .map_err(|e: serde_json::Error| DocumentError::new(EXPORTS, id, e))?;
    read.into_export(id)
}

/// Reads `training_jobs/{id}`.
///
/// # Errors
/// When the document does not have the shape.
pub fn training_job(id: &str, document: &Value) -> Result<TrainingJob, DocumentError> {
    let read: TrainingJobDocument = serde::Deserialize::deserialize(document)
        .map_err(|e: serde_json::Error| DocumentError::new(TRAINING_JOBS, id, e))?;
    read.into_job(id)
}

/// Writes what `transition` changes at `now` into the document of `stored`, and answers what the document then
/// says. A refused transition leaves it as it is.
///
/// # Errors
/// [`Refused`] as [`Export::apply`] says.
pub fn apply(
    document: &mut Value,
    stored: Export,
    transition: &Transition,
    now: Timestamp,
) -> Result<Export, Refused> {
    let after = stored.clone().apply(transition, now)?;
    let new = create(&after);
    for path in changed_fields(&stored, &after) {
        let value = path.split('.').fold(&new, |value, name| &value[name]);
        set(document, &path, value.clone());
    }
    Ok(after)
}

/// Sets `artifacts.{variant}.{type}` of a training job's document.
pub fn set_artifact(document: &mut Value, artifact: &Artifact) {
    let path = format!("artifacts.{}.{}", artifact.variant.as_str(), artifact.kind.as_str());
    set(document, &path, Value::String(artifact.path.clone()));
}

/// Sets the value at a dotted path; what stands in its way and is not a map is replaced by one.
fn set(document: &mut Value, path: &str, value: Value) {
    let place = path.split('.').fold(document, |at, name| {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        &mut at[name]
    });
    *place = value;
}
