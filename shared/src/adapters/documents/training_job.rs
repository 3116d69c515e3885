//! The document `training_jobs/{job_id}`, which the Training Service writes.

use std::{cmp::Reverse, collections::HashMap};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{DocumentError, StoredTime, TRAINING_JOBS};
use crate::domain::{Artifact, ArtifactKind, Artifacts, TrainingJob, Variant};

/// The fields of a training job that this service uses.
///
/// A field of another type counts as missing: another service writes the document, and one odd field must not make the
/// job unreadable.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TrainingJobDocument {
    job_name: LenientField<String>,
    user_id: LenientField<String>,
    status: LenientField<String>,
    adapter_path: LenientField<String>,
    base_model_id: LenientField<String>,
    modality: LenientField<String>,
    artifacts: LenientField<HashMap<String, Value>>,
    created_at: LenientField<StoredTime>,
}

/// A field of the type `T`, of another type, or none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum LenientField<T> {
    Valid(Option<T>),
    WrongType(IgnoredAny),
}

impl<T> Default for LenientField<T> {
    fn default() -> Self {
        Self::Valid(None)
    }
}

impl<T> LenientField<T> {
    /// The value. A value of another type is logged by the names of document and field.
    fn read(self, id: &str, field: &'static str) -> Option<T> {
        match self {
            Self::Valid(value) => value,
            Self::WrongType(_) => {
                tracing::warn!(
                    job.id = id,
                    field,
                    "a field of a training job has another type and is ignored"
                );
                None
            }
        }
    }
}

impl TrainingJobDocument {
    /// Converts the document with that id to a job.
    ///
    /// # Errors
    /// If `id` is not a valid job id.
    pub fn into_job(self, id: &str) -> Result<TrainingJob, DocumentError> {
        let artifacts = artifacts(self.artifacts.read(id, "artifacts").as_ref());
        let raw_adapter = || artifacts.path(Variant::Raw, ArtifactKind::Adapter).map(str::to_owned);
        Ok(TrainingJob {
            id: id.parse().map_err(|e| DocumentError::new(TRAINING_JOBS, id, e))?,
            name: non_blank(self.job_name.read(id, "job_name")),
            owner: self.user_id.read(id, "user_id").and_then(|uid| uid.parse().ok()),
            status: self.status.read(id, "status").unwrap_or_else(|| "unknown".to_owned()),
            adapter_path: non_blank(self.adapter_path.read(id, "adapter_path")).or_else(raw_adapter),
            base_model_id: non_blank(self.base_model_id.read(id, "base_model_id")),
            modality: non_blank(self.modality.read(id, "modality"))
                .unwrap_or_else(|| TrainingJob::DEFAULT_MODALITY.to_owned()),
            artifacts,
            created_at: self.created_at.read(id, "created_at").map(Into::into),
        })
    }
}

/// Sorts jobs by `created_at` descending, jobs without one last, then by id.
pub fn newest_first(jobs: &mut [TrainingJob]) {
    jobs.sort_by(|a, b| (Reverse(a.created_at), &a.id).cmp(&(Reverse(b.created_at), &b.id)));
}

/// The text without white space around it, if there is any text.
fn non_blank(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Parses `{variant: {type: path}}`. Values that are not paths are skipped.
fn artifacts(stored: Option<&HashMap<String, Value>>) -> Artifacts {
    let kinds = [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf];
    let variants = [Variant::Raw, Variant::File, Variant::Hf];
    let all = variants.into_iter().flat_map(|variant| kinds.map(|kind| (variant, kind)));
    all.filter_map(|(variant, kind)| {
        let path = stored?.get(variant.as_str())?.get(kind.as_str())?.as_str()?;
        Some(Artifact::new(kind, variant, non_blank(Some(path.to_owned()))?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(document: Value) -> TrainingJob {
        serde_json::from_value::<TrainingJobDocument>(document).unwrap().into_job("job-1").unwrap()
    }

    #[test]
    fn the_adapter_is_read_from_both_document_versions() {
        let older = job(json!({"adapter_path": "gs://b/a", "artifacts": null}));
        let newer =
            job(json!({"adapter_path": "", "artifacts": {"raw": {"adapter": "gs://b/a"}, "hf": null}}));
        assert_eq!(older.adapter_path.as_deref(), Some("gs://b/a"));
        assert_eq!(newer.adapter_path.as_deref(), Some("gs://b/a"));
    }

    #[test]
    fn white_space_around_a_text_does_not_count() {
        let job = job(
            json!({"base_model_id": " google/gemma-3-1b-it\n", "adapter_path": "gs://b/a ", "job_name": " "}),
        );
        assert_eq!(job.base_model_id.as_deref(), Some("google/gemma-3-1b-it"));
        assert_eq!((job.adapter_path.as_deref(), job.name), (Some("gs://b/a"), None));
    }

    #[test]
    fn missing_and_null_fields_have_defaults() {
        for empty in
            [json!({}), json!({"user_id": null, "status": null, "modality": null, "created_at": null})]
        {
            let job = job(empty);
            assert_eq!((job.modality.as_str(), job.status.as_str()), ("text", "unknown"));
            assert_eq!((job.owner, job.created_at, job.adapter_path), (None, None, None));
        }
    }

    #[test]
    fn a_field_of_another_type_counts_as_missing() {
        let odd = job(json!({
            "job_name": 7, "user_id": "ada", "status": ["completed"], "adapter_path": {"x": 1}, "base_model_id": false,
            "modality": 1.5, "artifacts": "none", "created_at": 1_700_000_000,
        }));
        assert_eq!((odd.modality.as_str(), odd.status.as_str()), ("text", "unknown"));
        assert_eq!((odd.name, odd.created_at, odd.adapter_path, odd.base_model_id), (None, None, None, None));
        assert_eq!(odd.owner.unwrap().as_str(), "ada");
    }

    #[test]
    fn an_invalid_owner_counts_as_no_owner() {
        assert_eq!(job(json!({"user_id": ""})).owner, None);
        assert_eq!(job(json!({"user_id": "u".repeat(129)})).owner, None);
    }

    #[test]
    fn invalid_artifacts_are_skipped() {
        let document =
            json!({"artifacts": {"file": {"gguf": "gs://b/x", "merged": null, "adapter": 3}, "raw": "x"}});
        let artifacts = job(document).artifacts;
        assert_eq!(artifacts.path(Variant::File, ArtifactKind::Gguf), Some("gs://b/x"));
        assert_eq!(artifacts.path(Variant::File, ArtifactKind::Merged), None);
        assert_eq!(artifacts.path(Variant::File, ArtifactKind::Adapter), None);
    }
}
