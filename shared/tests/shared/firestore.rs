//! The Firestore adapter with the emulator: `scripts/with-firestore cargo test -p shared firestore::`.

use async_trait::async_trait;
use firestore::{FirestoreDb, FirestoreDbOptions, FirestoreTimestamp, FirestoreValue};
use gcloud_sdk::google::firestore::v1::{Document, Value as Stored, value::ValueType};
use serde_json::{Value, json};
use shared::{
    adapters::{
        documents::{EXPORTS, StoredTime},
        firestore::Firestore,
    },
    config,
    domain::{CallerLimits, ExportId},
    ports::{ExportReader, Exports, PortError, TrainingJobs},
    testing::{
        conformance::{self, StoreHarness},
        emulator, fixtures,
    },
};

/// A database in the emulator with a project id of its own.
struct EmulatedStore {
    store: Firestore,
    db: FirestoreDb,
}

impl EmulatedStore {
    async fn new() -> Option<Self> {
        emulator("FIRESTORE_EMULATOR_HOST")?;
        let project_id = format!("demo-{}", ExportId::random());
        let db = FirestoreDb::with_options(FirestoreDbOptions::new(project_id.clone())).await.unwrap();
        let store = Firestore::new(config::FirestoreConfig { project_id, database: "(default)".to_owned() });
        Some(Self { store, db })
    }

    async fn write(&self, collection: &str, id: &str, fields: Vec<(&str, FirestoreValue)>) {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.value)).collect();
        let document = Document { fields, ..Document::default() };
        self.db
            .fluent()
            .insert()
            .into(collection)
            .document_id(id)
            .document(document)
            .execute()
            .await
            .unwrap();
    }
}

/// Converts JSON to a Firestore value; known times become timestamps.
fn stored(name: &str, value: &Value) -> FirestoreValue {
    match (name, value) {
        (
            "created_at" | "started_at" | "updated_at" | "finished_at" | "lease_until" | "expire_at",
            Value::String(text),
        ) => {
            let time = StoredTime::parse(text).unwrap();
            FirestoreTimestamp(time.into()).into()
        }
        (_, Value::Null) => FirestoreValue::from(Stored { value_type: Some(ValueType::NullValue(0)) }),
        (_, Value::Object(fields)) => {
            FirestoreValue::from_map(fields.iter().map(|(name, value)| (name, stored("", value))))
        }
        (_, Value::Array(values)) => {
            let values = values.iter().map(|value| stored("", value).value).collect();
            let array = gcloud_sdk::google::firestore::v1::ArrayValue { values };
            FirestoreValue::from(Stored { value_type: Some(ValueType::ArrayValue(array)) })
        }
        (_, Value::Bool(_) | Value::Number(_) | Value::String(_)) => value.into(),
    }
}

#[async_trait]
impl StoreHarness for EmulatedStore {
    fn training_jobs(&self) -> &dyn TrainingJobs {
        &self.store
    }

    fn exports(&self) -> &dyn Exports {
        &self.store
    }

    async fn put(&self, collection: &str, id: &str, document: Value) {
        let fields = document.as_object().unwrap();
        let fields = fields.iter().map(|(name, value)| (name.as_str(), stored(name, value))).collect();
        self.write(collection, id, fields).await;
    }

    async fn document(&self, collection: &str, id: &str) -> Option<Value> {
        let found = self.db.fluent().select().by_id_in(collection).one(id).await.unwrap()?;
        let mut document: Value = FirestoreDb::deserialize_doc_to(&found).unwrap();
        document.as_object_mut().unwrap().retain(|name, _| !name.starts_with("_firestore_"));
        Some(document)
    }
}

#[tokio::test]
async fn firestore_conforms() {
    let Some(emulated) = EmulatedStore::new().await else { return };
    conformance::run(&emulated).await;
}

/// Firestore sorts all strings after all timestamps.
#[tokio::test]
async fn the_latest_export_is_found_among_string_times_and_timestamps() {
    let Some(emulated) = EmulatedStore::new().await else { return };
    let older = |id: ExportId| json!({"export_id": id.to_string(), "job_id": "mixed", "type": "gguf", "status": "completed"});
    let [text, native] = [(); 2].map(|()| ExportId::random());
    let time = |text: &str| FirestoreTimestamp(StoredTime::parse(text).unwrap().into());
    for (id, started_at) in
        [(text, "2025-01-01T00:00:00+00:00".into()), (native, time("2026-01-01T00:00:00Z").into())]
    {
        let document = older(id);
        let mut fields: Vec<_> =
            document.as_object().unwrap().iter().map(|(n, v)| (n.as_str(), stored(n, v))).collect();
        fields.push(("started_at", started_at));
        emulated.write(EXPORTS, &id.to_string(), fields).await;
    }
    let latest = emulated.store.latest(&fixtures::job_id("mixed")).await.unwrap().unwrap();
    assert_eq!(latest.id, native);
}

/// The server's time has milliseconds, and two exports can start in the same one.
#[tokio::test]
async fn of_exports_with_the_same_start_the_last_created_is_the_latest() {
    let Some(emulated) = EmulatedStore::new().await else { return };
    let started_at = FirestoreTimestamp(StoredTime::parse("2026-01-01T00:00:00Z").unwrap().into());
    for _ in 0..4 {
        let id = ExportId::random();
        let document =
            json!({"export_id": id.to_string(), "job_id": "equal", "type": "gguf", "status": "completed"});
        let mut fields: Vec<_> =
            document.as_object().unwrap().iter().map(|(n, v)| (n.as_str(), stored(n, v))).collect();
        fields.push(("started_at", started_at.into()));
        emulated.write(EXPORTS, &id.to_string(), fields).await;
        let latest = emulated.store.latest(&fixtures::job_id("equal")).await.unwrap().unwrap();
        assert_eq!(latest.id, id);
    }
}

#[tokio::test]
async fn times_are_stored_as_timestamps_of_the_server() {
    let Some(emulated) = EmulatedStore::new().await else { return };
    let export = fixtures::export();
    emulated.store.create(&export, CallerLimits::NONE).await.unwrap();
    let id = export.id.to_string();
    let found = emulated.db.fluent().select().by_id_in(EXPORTS).one(&id).await.unwrap().unwrap();
    for time in ["started_at", "updated_at", "lease_until"] {
        assert!(matches!(found.fields[time].value_type, Some(ValueType::TimestampValue(_))), "{time}");
    }
    let started_at = ExportReader::find(&emulated.store, export.id).await.unwrap().unwrap().started_at;
    assert_ne!(started_at, export.started_at, "the server time replaces the time of the client");
    assert!(started_at.duration_since(shared::clock::now()).abs().as_secs() < 60);
}

/// A refused connection and a missing response are both errors within the deadline.
#[tokio::test]
async fn an_unavailable_database_is_an_error_within_the_deadline() {
    let Some(_) = emulator("FIRESTORE_EMULATOR_HOST") else { return };
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let find = async |url: String| {
        let settings =
            config::FirestoreConfig { project_id: "demo".to_owned(), database: "(default)".to_owned() };
        let store = Firestore::at(settings, &url);
        let started = std::time::Instant::now();
        let error = TrainingJobs::find(&store, &fixtures::job_id("job-1")).await.unwrap_err();
        assert!(matches!(error, PortError::Unavailable { .. } | PortError::Failed { .. }), "{error:?}");
        assert!(started.elapsed().as_secs() < 20, "{url}: {error:?}");
    };
    tokio::join!(find("http://127.0.0.1:1".to_owned()), find(silent));
}
