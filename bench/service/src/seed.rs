//! The documents that everybody reads: ten training jobs of one user, each with an export.

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use shared::{
    adapters::documents::{EXPORTS, TRAINING_JOBS, create},
    domain::Transition,
    testing::fixtures,
};

use crate::{
    client::{Ask, Connection},
    result::Result,
};

/// The job that is asked for.
pub(crate) const READ: &str = "bench-0";
/// The job that is exported, again and again.
pub(crate) const EXPORTED: &str = "bench-9";

/// The job that is not trained yet. It belongs to the same user, but is not in their list.
pub(crate) const UNTRAINED: &str = "bench-untrained";

/// Every document: collection, id, fields.
pub(crate) fn all() -> Vec<(&'static str, String, Value)> {
    let mut untrained = fixtures::training_job(fixtures::ADA);
    untrained["status"] = json!("running");
    let untrained = (TRAINING_JOBS, UNTRAINED.to_owned(), untrained);
    (0..10).flat_map(|n| job_and_export(&format!("bench-{n}"), n)).chain([untrained]).collect()
}

fn job_and_export(job: &str, n: i64) -> [(&'static str, String, Value); 2] {
    let mut training_job = fixtures::training_job(fixtures::ADA);
    training_job["created_at"] = json!(fixtures::time(n).to_string());
    let export = fixtures::new_export(shared::domain::ExportId::random(), job, fixtures::time(0));
    let failure = Transition::Fail { claim: None, failure: fixtures::failure("The adapter is missing") };
    let export = export.clone().apply(&failure, fixtures::time(60)).unwrap_or(export);
    [(TRAINING_JOBS, job.to_owned(), training_job), (EXPORTS, export.id.to_string(), create(&export))]
}

/// Writes them to the emulator.
pub(crate) async fn documents(emulator: &str) -> Result<()> {
    let mut connection = Connection::open(emulator.parse()?).await?;
    for (collection, id, document) in all() {
        let documents = format!("/v1/projects/{}/databases/(default)/documents", fixtures::PROJECT);
        let ask = Ask {
            method: "PATCH",
            path: format!("{documents}/{collection}/{id}"),
            token: Some("owner".to_owned()),
            body: json!({ "fields": fields(&document) }).to_string(),
            status: StatusCode::OK,
        };
        connection.send(&ask).await?;
    }
    Ok(())
}

/// Fields as Firestore's REST interface writes them.
fn fields(document: &Value) -> Map<String, Value> {
    let fields = document.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), stored(name, value))).collect()
}

fn stored(name: &str, value: &Value) -> Value {
    match value {
        Value::Null => json!({ "nullValue": null }),
        Value::Bool(yes) => json!({ "booleanValue": yes }),
        Value::Number(number) => json!({ "integerValue": number.to_string() }),
        Value::String(time) if name.ends_with("_at") || name == "lease_until" => {
            json!({ "timestampValue": time })
        }
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(values) => {
            json!({ "arrayValue": { "values": values.iter().map(|value| stored("", value)).collect::<Vec<_>>() } })
        }
        Value::Object(_) => json!({ "mapValue": { "fields": fields(value) } }),
    }
}
