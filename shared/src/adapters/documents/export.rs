//! The document `exports/{export_id}`.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DocumentError, EXPORTS, StoredTime, native::serialize_as_null};
use crate::domain::{
    Artifact, ArtifactKind, Claim, Destination, Destinations, ExecutionName, Export, Failure, GgufKind,
    Progress, Proof, Quantization, Stage, Status,
};

/// The document. The fields up to `finished_at` are those of the older service, with its types. `serialize_as_null`
/// writes `None` as null, also in nested structs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportDocument {
    #[serde(default)]
    export_id: String,
    job_id: String,
    #[serde(rename = "type")]
    kind: ArtifactKind,
    #[serde(default, deserialize_with = "one_or_many")]
    destination: Vec<Destination>,
    #[serde(default, with = "serialize_as_null")]
    hf_repo_id: Option<String>,
    status: Status,
    #[serde(default, with = "serialize_as_null")]
    message: Option<String>,
    #[serde(default, deserialize_with = "known_artifacts")]
    artifacts: Vec<Artifact>,
    started_at: StoredTime,
    #[serde(default, with = "serialize_as_null")]
    updated_at: Option<StoredTime>,
    #[serde(default, with = "serialize_as_null")]
    finished_at: Option<StoredTime>,

    #[serde(default, with = "serialize_as_null")]
    user_id: Option<String>,
    #[serde(default, with = "serialize_as_null")]
    hf_private: Option<bool>,
    #[serde(default, with = "serialize_as_null")]
    quantization: Option<Quantization>,
    #[serde(default)]
    quantizations: Vec<Quantization>,
    #[serde(default, with = "serialize_as_null")]
    gguf_kind: Option<GgufKind>,
    #[serde(default, with = "serialize_as_null")]
    imatrix: Option<String>,
    #[serde(default, with = "serialize_as_null")]
    prompts_uri: Option<String>,
    #[serde(default, with = "serialize_as_null")]
    max_bytes: Option<i64>,
    #[serde(default, with = "serialize_as_null")]
    calibration_uri: Option<String>,
    #[serde(default, serialize_with = "serialize_as_null::serialize", deserialize_with = "known_failure")]
    failure: Option<Failure>,
    #[serde(default, with = "serialize_as_null")]
    progress: Option<ProgressFields>,
    #[serde(default, with = "serialize_as_null")]
    step_started_at: Option<StoredTime>,
    #[serde(default, with = "serialize_as_null")]
    proof: Option<Proof>,
    #[serde(default, with = "serialize_as_null")]
    request_hash: Option<String>,
    #[serde(default, with = "serialize_as_null")]
    execution: Option<String>,
    #[serde(default, with = "serialize_as_null")]
    claim: Option<Claim>,
    #[serde(default, with = "serialize_as_null")]
    lease_until: Option<StoredTime>,
    #[serde(default, with = "serialize_as_null")]
    retention_days: Option<i64>,
    #[serde(default, with = "serialize_as_null")]
    expire_at: Option<StoredTime>,
}

/// [`Progress`] with signed integers, the only integers of Firestore.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProgressFields {
    stage: Stage,
    bytes_done: i64,
    bytes_total: i64,
}

impl ExportDocument {
    /// Converts the document with that id to an export. An invalid `hf_repo_id` is dropped.
    ///
    /// # Errors
    /// If `id` or `job_id` is invalid.
    pub fn into_export(self, id: &str) -> Result<Export, DocumentError> {
        let invalid = |e| DocumentError::new(EXPORTS, id, e);
        Ok(Export {
            id: id.parse().map_err(invalid)?,
            job_id: self.job_id.parse().map_err(invalid)?,
            user_id: self.user_id.and_then(|uid| uid.parse().ok()),
            kind: self.kind,
            destinations: Destinations::new(self.destination).unwrap_or_default(),
            hf_repo: self.hf_repo_id.and_then(|repo| repo.parse().ok()),
            hf_private: self.hf_private.unwrap_or(true),
            quantizations: match self.quantizations.is_empty() {
                true => self.quantization.into_iter().collect(),
                false => self.quantizations,
            },
            gguf_kind: self.gguf_kind.unwrap_or_default(),
            imatrix: self.imatrix,
            prompts_uri: self.prompts_uri,
            max_bytes: self.max_bytes.and_then(|bytes| bytes.try_into().ok()),
            calibration_uri: self.calibration_uri,
            status: self.status,
            message: self.message,
            failure: self.failure,
            progress: self.progress.map(Into::into),
            step_started_at: self.step_started_at.map(Into::into),
            artifacts: self.artifacts,
            proof: self.proof,
            request_hash: self.request_hash,
            execution: self.execution.map(ExecutionName::new),
            claim: self.claim,
            lease_until: self.lease_until.map(Into::into),
            started_at: self.started_at.into(),
            updated_at: self.updated_at.unwrap_or(self.started_at).into(),
            finished_at: self.finished_at.map(Into::into),
            retention_days: self
                .retention_days
                .and_then(|days| u16::try_from(days).ok())
                .and_then(NonZeroU16::new),
            expire_at: self.expire_at.map(Into::into),
        })
    }
}

impl From<&Export> for ExportDocument {
    fn from(export: &Export) -> Self {
        Self {
            export_id: export.id.to_string(),
            job_id: export.job_id.to_string(),
            kind: export.kind,
            destination: export.destinations.as_slice().to_vec(),
            hf_repo_id: export.hf_repo.as_ref().map(ToString::to_string),
            status: export.status,
            message: export.message.clone(),
            failure: export.failure.clone(),
            artifacts: export.artifacts.clone(),
            started_at: export.started_at.into(),
            updated_at: Some(export.updated_at.into()),
            finished_at: export.finished_at.map(Into::into),
            user_id: export.user_id.as_ref().map(ToString::to_string),
            hf_private: Some(export.hf_private),
            quantization: export.quantizations.first().copied(),
            quantizations: export.quantizations.clone(),
            gguf_kind: (export.kind == ArtifactKind::Gguf).then_some(export.gguf_kind),
            imatrix: export.imatrix.clone(),
            prompts_uri: export.prompts_uri.clone(),
            max_bytes: export.max_bytes.and_then(|bytes| bytes.try_into().ok()),
            calibration_uri: export.calibration_uri.clone(),
            progress: export.progress.map(Into::into),
            step_started_at: export.step_started_at.map(Into::into),
            proof: export.proof.clone(),
            request_hash: export.request_hash.clone(),
            execution: export.execution.as_ref().map(ToString::to_string),
            claim: export.claim.clone(),
            lease_until: export.lease_until.map(Into::into),
            retention_days: export.retention_days.map(|days| days.get().into()),
            expire_at: export.expire_at.map(Into::into),
        }
    }
}

impl From<ProgressFields> for Progress {
    fn from(stored: ProgressFields) -> Self {
        let bytes = |n: i64| u64::try_from(n).unwrap_or(0);
        Self {
            stage: stored.stage,
            bytes_done: bytes(stored.bytes_done),
            bytes_total: bytes(stored.bytes_total),
        }
    }
}

impl From<Progress> for ProgressFields {
    fn from(progress: Progress) -> Self {
        let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Self {
            stage: progress.stage,
            bytes_done: bytes(progress.bytes_done),
            bytes_total: bytes(progress.bytes_total),
        }
    }
}

/// The paths of the fields that differ between the documents of two exports: the field mask of an update. A dotted path
/// is a field of a map, so the other fields of the map stay unchanged.
#[must_use]
pub fn changed_fields(before: &Export, after: &Export) -> Vec<String> {
    let mut paths = Vec::new();
    collect_changes(&fields(before), &fields(after), "", &mut paths);
    paths
}

/// The fields of the document as JSON.
pub(super) fn fields(export: &Export) -> Map<String, Value> {
    match serde_json::to_value(ExportDocument::from(export)) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => unreachable!("an export document is a JSON object"),
    }
}

fn collect_changes(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    prefix: &str,
    paths: &mut Vec<String>,
) {
    for (name, new) in after {
        let path = format!("{prefix}{name}");
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                collect_changes(old, new, &format!("{path}."), paths);
            }
            (Some(_) | None, _) => paths.push(path),
        }
    }
}

/// Deserializes an array, a single name or null: the older service wrote all three.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Destination>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        Many(Vec<Destination>),
        One(Destination),
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(OneOrMany::Many(all)) => all,
        Some(OneOrMany::One(one)) => vec![one],
        None => Vec::new(),
    })
}

/// Deserializes an array or null. Artifacts of an unknown type or variant are skipped.
fn known_artifacts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Artifact>, D::Error> {
    let stored: Option<Vec<Value>> = Option::deserialize(deserializer)?;
    let known = |value| serde_json::from_value(value).ok();
    Ok(stored.unwrap_or_default().into_iter().filter_map(known).collect())
}

/// Deserializes a failure or null. A code that this version does not know counts as null.
fn known_failure<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Failure>, D::Error> {
    let stored: Option<Value> = Option::deserialize(deserializer)?;
    Ok(stored.and_then(|value| serde_json::from_value(value).ok()))
}

#[cfg(test)]
mod tests {
    use firestore::{FirestoreDb, FirestoreTimestamp};
    use gcloud_sdk::google::firestore::v1::{Value as Stored, value::ValueType};
    use serde_json::json;

    use super::{super::json as documents, *};
    use crate::{
        domain::{FailureCode, SurvivalShare, Transition},
        testing::fixtures,
    };

    const ID: &str = "6f4a2f0e-0a3c-4e0b-9c55-0d8a3c1f2b11";

    /// A document as the older service writes it.
    fn older() -> Value {
        json!({
            "export_id": ID, "job_id": "job-1", "type": "gguf", "destination": ["gcs", "hf_hub"],
            "hf_repo_id": "ada/gemma", "status": "running", "message": null, "artifacts": [],
            "started_at": "2025-05-01T12:00:00.123456+00:00", "updated_at": "2025-05-01T12:00:01Z",
            "finished_at": null, "unknown_field": {"x": 1},
        })
    }

    #[test]
    fn a_document_of_the_older_service_is_parsed() {
        let export = documents::export(ID, &older()).unwrap();
        assert_eq!(export.started_at.to_string(), "2025-05-01T12:00:00.123456Z");
        assert_eq!(export.hf_repo.unwrap().as_str(), "ada/gemma");
        assert_eq!((export.user_id, export.progress, export.lease_until), (None, None, None));
    }

    #[test]
    fn missing_fields_nulls_and_a_single_destination_are_parsed() {
        let sparse = json!({"job_id": "job-1", "type": "merged", "status": "failed", "destination": "hf_hub",
            "started_at": "2025-05-01T12:00:00", "artifacts": null, "hf_repo_id": "not a repo"});
        let export = documents::export(ID, &sparse).unwrap();
        assert_eq!(export.destinations.as_slice(), [Destination::HfHub]);
        assert_eq!((export.updated_at, export.hf_repo), (export.started_at, None));
    }

    #[test]
    fn artifacts_of_unknown_types_are_skipped() {
        let mut document = older();
        document["artifacts"] = json!([{"type": "onnx", "path": "gs://x", "variant": "file"}, 7,
            {"type": "gguf", "path": "gs://y", "variant": "file", "sha256": "…"}]);
        let artifacts = documents::export(ID, &document).unwrap().artifacts;
        assert_eq!(artifacts.iter().map(|a| a.path.as_str()).collect::<Vec<_>>(), ["gs://y"]);
    }

    #[test]
    fn a_document_with_invalid_fields_is_an_error() {
        for (field, value) in [
            ("status", json!("cancelled")),
            ("type", json!(null)),
            ("job_id", json!("a/b")),
            ("started_at", json!(7)),
        ] {
            let mut document = older();
            document[field] = value;
            assert!(documents::export(ID, &document).is_err(), "{field}");
        }
        assert!(documents::export("not-a-uuid", &older()).is_err());
    }

    #[test]
    fn all_fields_of_the_older_service_are_written_with_their_types() {
        insta::assert_json_snapshot!(documents::create(&fixtures::export()), @r#"
        {
          "artifacts": [],
          "calibration_uri": null,
          "claim": null,
          "destination": [
            "gcs"
          ],
          "execution": null,
          "expire_at": null,
          "export_id": "0b9f8a52-3d0f-4a9e-8c3b-5f0e6f2a7d10",
          "failure": null,
          "finished_at": null,
          "gguf_kind": "model",
          "hf_private": true,
          "hf_repo_id": null,
          "imatrix": null,
          "job_id": "job-1",
          "lease_until": "2026-09-21T14:28:20Z",
          "max_bytes": null,
          "message": "Waiting for the export job to start",
          "progress": {
            "bytes_done": 0,
            "bytes_total": 0,
            "stage": "queued"
          },
          "prompts_uri": null,
          "proof": null,
          "quantization": "q8_0",
          "quantizations": [
            "q8_0"
          ],
          "request_hash": null,
          "retention_days": 365,
          "started_at": "2026-09-21T14:13:20Z",
          "status": "running",
          "step_started_at": null,
          "type": "gguf",
          "updated_at": "2026-09-21T14:13:20Z",
          "user_id": "ada-uid"
        }
        "#);
    }

    /// The document model of the older service: every field is required, with its type.
    #[derive(Debug, Deserialize)]
    struct OlderDocument {
        export_id: uuid::Uuid,
        job_id: String,
        #[serde(rename = "type")]
        kind: OlderKind,
        destination: Vec<OlderDestination>,
        #[serde(deserialize_with = "Option::deserialize")]
        hf_repo_id: Option<String>,
        status: OlderStatus,
        #[serde(deserialize_with = "Option::deserialize")]
        message: Option<String>,
        artifacts: Vec<OlderArtifact>,
        started_at: FirestoreTimestamp,
        updated_at: FirestoreTimestamp,
        #[serde(deserialize_with = "Option::deserialize")]
        finished_at: Option<FirestoreTimestamp>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum OlderKind {
        Adapter,
        Merged,
        Gguf,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum OlderDestination {
        Gcs,
        HfHub,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum OlderStatus {
        Running,
        Completed,
        Failed,
    }

    #[derive(Debug, Deserialize)]
    struct OlderArtifact {
        #[serde(rename = "type")]
        kind: OlderKind,
        path: String,
        variant: String,
    }

    #[test]
    fn the_older_service_can_parse_the_document_after_every_transition() {
        let read = |export: &Export| {
            let document = FirestoreDb::serialize_to_doc("", &ExportDocument::from(export)).unwrap();
            FirestoreDb::deserialize_doc_to::<OlderDocument>(&document).unwrap()
        };
        let mut export = fixtures::export();
        export.destinations = Destinations::new(vec![Destination::Gcs, Destination::HfHub]).unwrap();
        export.hf_repo = Some("ada/gemma".parse().unwrap());
        let mut all = vec![export.clone()];
        for transition in fixtures::lifecycle() {
            export = export.apply(&transition, fixtures::time(60)).unwrap();
            all.push(export.clone());
        }
        for export in &all {
            let older = read(export);
            assert_eq!(
                (older.export_id.to_string(), older.job_id.as_str()),
                (export.id.to_string(), "job-1")
            );
            assert_eq!((older.kind, older.hf_repo_id.as_deref()), (OlderKind::Gguf, Some("ada/gemma")));
            assert_eq!(older.destination, [OlderDestination::Gcs, OlderDestination::HfHub]);
            assert_eq!(
                (older.message, older.artifacts.len()),
                (export.message.clone(), export.artifacts.len())
            );
            assert_eq!((older.started_at.0, older.updated_at.0), (export.started_at, export.updated_at));
            assert_eq!(older.finished_at.map(|time| time.0), export.finished_at);
            assert_eq!(older.status == OlderStatus::Running, export.finished_at.is_none());
        }
        let [artifact] = &read(all.last().unwrap()).artifacts[..] else { panic!("one artifact") };
        assert_eq!((&artifact.kind, artifact.variant.as_str()), (&OlderKind::Gguf, "file"));
        assert_eq!(artifact.path, fixtures::gguf().path);
    }

    #[test]
    fn a_document_of_the_older_service_survives_a_round_trip() {
        let mut failed = older();
        failed["type"] = json!("adapter");
        failed["status"] = json!("failed");
        failed["message"] = json!("Out of memory");
        failed["finished_at"] = json!("2025-05-01T12:05:00.5Z");
        let mut completed = failed.clone();
        completed["status"] = json!("completed");
        completed["type"] = json!("merged");
        completed["artifacts"] = json!([
            {"type": "merged", "path": "gs://models/merged_models/job-1", "variant": "raw"},
            {"type": "merged", "path": "gs://files/job-1/merged.zip", "variant": "file"},
            {"type": "merged", "path": "ada/gemma", "variant": "hf"},
        ]);
        for document in [older(), failed, completed] {
            let written = documents::create(&documents::export(ID, &document).unwrap());
            let known = document.as_object().unwrap().iter().filter(|(name, _)| *name != "unknown_field");
            for (name, value) in known {
                let time = |value: &Value| value.as_str().and_then(StoredTime::parse);
                let same =
                    written[name] == *value || time(value).is_some_and(|at| time(&written[name]) == Some(at));
                assert!(same, "{name}: {value} became {}", written[name]);
            }
        }
    }

    #[test]
    fn json_and_firestore_round_trip_every_state() {
        let mut export = fixtures::export();
        for transition in fixtures::lifecycle() {
            export = export.apply(&transition, fixtures::time(60)).unwrap();
            let id = export.id.to_string();
            assert_eq!(documents::export(&id, &documents::create(&export)).unwrap(), export);
            let document =
                FirestoreDb::serialize_to_doc(format!("exports/{id}"), &ExportDocument::from(&export))
                    .unwrap();
            let read: ExportDocument = FirestoreDb::deserialize_doc_to(&document).unwrap();
            assert_eq!(read.into_export(&id).unwrap(), export);
        }
    }

    #[test]
    fn firestore_stores_times_as_timestamps_and_none_as_null() {
        let document = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&fixtures::export())).unwrap();
        let stored = |name: &str| document.fields[name].value_type.clone().unwrap();
        for time in ["started_at", "updated_at", "lease_until"] {
            assert!(matches!(stored(time), ValueType::TimestampValue(_)), "{time}");
        }
        for absent in ["finished_at", "expire_at", "hf_repo_id", "claim", "execution"] {
            assert!(matches!(stored(absent), ValueType::NullValue(_)), "{absent}");
        }
    }

    #[test]
    fn an_ended_export_expires_by_a_native_timestamp_as_a_ttl_needs() {
        let failed = Transition::Fail { claim: None, failure: fixtures::failure("not started") };
        let ended = fixtures::export().apply(&failed, fixtures::time(60)).unwrap();
        let document = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&ended)).unwrap();
        let value = document.fields["expire_at"].value_type.clone();
        let Some(ValueType::TimestampValue(at)) = value else { panic!("{value:?}") };
        assert_eq!(at.seconds, fixtures::time(60 + 365 * 24 * 3600).as_second());
    }

    #[test]
    fn a_retention_that_is_no_number_of_days_keeps_the_document() {
        for odd in [json!(null), json!(0), json!(-1), json!(65_536)] {
            let mut document = documents::create(&fixtures::export());
            document["retention_days"] = odd;
            assert_eq!(documents::export(fixtures::EXPORT, &document).unwrap().retention_days, None);
        }
    }

    #[test]
    fn firestore_stores_none_as_null_in_nested_structs() {
        let mut export = fixtures::export();
        export.claim = Some(Claim { process: None, ..fixtures::claim("run-1") });
        let numbers = Proof { largest_change: None, rmse: None, sha256: None, ..fixtures::proof() };
        export.proof = Some(Proof { logits: None, survival: None, ..numbers });
        let document = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&export)).unwrap();
        for (map, fields) in [
            ("proof", &["largest_change", "rmse", "sha256", "logits", "survival"][..]),
            ("claim", &["process"]),
        ] {
            let Some(ValueType::MapValue(stored)) = &document.fields[map].value_type else { panic!("{map}") };
            for field in fields {
                let value = stored.fields[*field].value_type.as_ref();
                assert!(matches!(value, Some(ValueType::NullValue(_))), "{map}.{field}: {value:?}");
            }
        }
        let read: ExportDocument = FirestoreDb::deserialize_doc_to(&document).unwrap();
        assert_eq!(read.into_export(fixtures::EXPORT).unwrap(), export);
    }

    #[test]
    fn a_survival_round_trips_and_one_of_before_a_field_is_read_without_it() {
        let mut export = fixtures::export();
        export.proof = Some(fixtures::proof());
        let stored = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&export)).unwrap();
        let read: ExportDocument = FirestoreDb::deserialize_doc_to(&stored).unwrap();
        assert_eq!(read.into_export(fixtures::EXPORT).unwrap(), export);

        let mut document = documents::create(&export);
        assert_eq!(documents::export(fixtures::EXPORT, &document).unwrap(), export);
        let survival = document["proof"]["survival"].as_object_mut().unwrap();
        assert_eq!(survival.remove("adapter_beside").unwrap()["survival"], 0.984_375);
        let older = documents::export(fixtures::EXPORT, &document).unwrap();
        let expected = fixtures::proof().survival.map(|all| SurvivalShare { adapter_beside: None, ..all });
        assert_eq!(older.proof.unwrap().survival, expected);
    }

    #[test]
    fn firestore_times_can_be_strings() {
        let mut document =
            FirestoreDb::serialize_to_doc("", &ExportDocument::from(&fixtures::export())).unwrap();
        let text = ValueType::StringValue("2025-05-01T12:00:00+00:00".to_owned());
        document.fields.insert("started_at".to_owned(), Stored { value_type: Some(text) });
        let read: ExportDocument = FirestoreDb::deserialize_doc_to(&document).unwrap();
        assert_eq!(read.into_export(ID).unwrap().started_at.to_string(), "2025-05-01T12:00:00Z");
    }

    #[test]
    fn an_update_changes_only_the_changed_fields() {
        let stored = documents::export(ID, &older()).unwrap();
        let launched = Transition::Launched(ExecutionName::new("run-1"));
        let now = "2025-05-01T12:01:00Z".parse().unwrap();
        let after = stored.clone().apply(&launched, now).unwrap();
        assert_eq!(changed_fields(&stored, &after), ["execution", "updated_at"]);

        let mut document = older();
        documents::apply(&mut document, stored, &launched, now).unwrap();
        let mut expected = older();
        expected["updated_at"] = json!("2025-05-01T12:01:00Z");
        expected["execution"] = json!("run-1");
        assert_eq!(document, expected);
    }

    #[test]
    fn a_failure_round_trips_and_an_unknown_code_is_none() {
        let failure = Failure::new(FailureCode::AccessDenied, "The token may not write");
        let failed = Transition::Fail { claim: None, failure: failure.clone() };
        let export = fixtures::export().apply(&failed, fixtures::time(1)).unwrap();
        let mut document = documents::create(&export);
        assert_eq!(
            document["failure"],
            json!({"code": "access_denied", "message": "The token may not write"})
        );
        assert_eq!(documents::export(fixtures::EXPORT, &document).unwrap(), export);
        let stored = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&export)).unwrap();
        let read: ExportDocument = FirestoreDb::deserialize_doc_to(&stored).unwrap();
        assert_eq!(read.into_export(fixtures::EXPORT).unwrap().failure, Some(failure));
        for unknown in [json!({"code": "of a later version", "message": "x"}), json!(7), json!(null)] {
            document["failure"] = unknown;
            let read = documents::export(fixtures::EXPORT, &document).unwrap();
            assert_eq!((read.failure, read.status), (None, Status::Failed));
        }
    }

    #[test]
    fn progress_is_updated_field_by_field() {
        let [claim, first, second, ..] = fixtures::lifecycle();
        let before = fixtures::export().apply(&claim, fixtures::time(1)).unwrap();
        let before = before.apply(&first, fixtures::time(2)).unwrap();
        let after = before.clone().apply(&second, fixtures::time(2)).unwrap();
        assert_eq!(changed_fields(&before, &after), ["progress.bytes_done"]);
    }
}
