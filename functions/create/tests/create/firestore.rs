//! The binary with the Firestore emulator: `scripts/with-firestore cargo test -p create firestore::`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use firestore::{FirestoreDb, FirestoreDbOptions};
use gcloud_sdk::{google::firestore::v1::value::ValueType, tonic::Code};
use serde_json::{Value, json};
use shared::testing::{
    TokenSigner,
    cloud_run::{FakeCloudRun, RunJobBehavior},
    emulator, fixtures, http,
    process::{BinaryProcess, serve_keys},
};

const BINARY: &str = env!("CARGO_BIN_EXE_create");

/// The function with an emulator and a fake Cloud Run, in a project of its own.
struct TestContext {
    db: FirestoreDb,
    cloud_run: FakeCloudRun,
    function: BinaryProcess,
    project: String,
    client: reqwest::Client,
}

impl TestContext {
    async fn new() -> Option<Self> {
        let host = emulator("FIRESTORE_EMULATOR_HOST")?;
        let project = format!("demo-{}", shared::domain::ExportId::random());
        let db = FirestoreDb::with_options(FirestoreDbOptions::new(project.clone())).await.unwrap();
        let cloud_run = FakeCloudRun::start().await;
        let (keys, endpoint) = (serve_keys().await, cloud_run.endpoint());
        let settings = [
            ("PROJECT_ID", project.as_str()),
            ("FIREBASE_KEYS_URL", &keys),
            ("FIRESTORE_EMULATOR_HOST", &host),
            ("CLOUD_RUN_ENDPOINT", &endpoint),
        ];
        let function = BinaryProcess::listening(BINARY, &settings).await;
        let context = Self { db, cloud_run, function, project, client: http::client() };
        context.insert("training_jobs", fixtures::JOB, fixtures::training_job(fixtures::ADA)).await;
        Some(context)
    }

    async fn insert(&self, collection: &str, id: &str, document: Value) {
        let document = FirestoreDb::serialize_to_doc("", &document).unwrap();
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

    async fn post(&self, body: &Value) -> (u16, Value) {
        let response = self.request(body).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    fn request(&self, body: &Value) -> reqwest::RequestBuilder {
        let mut claims = shared::testing::tokens::claims(fixtures::ADA);
        claims["aud"] = json!(self.project);
        claims["iss"] = json!(format!("https://securetoken.google.com/{}", self.project));
        self.client
            .post(format!("{}/exports", self.function.url()))
            .bearer_auth(TokenSigner::first().with_claims(&claims))
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    async fn records(&self) -> Vec<gcloud_sdk::google::firestore::v1::Document> {
        self.db.fluent().select().from("exports").query().await.unwrap()
    }
}

fn valid() -> Value {
    json!({"job_id": fixtures::JOB, "export_type": "gguf", "destination": ["gcs", "hf_hub"],
        "hf_repo_id": "ada/gemma", "hf_token": "hf_canary"})
}

#[tokio::test]
async fn the_record_has_the_format_of_the_older_service_and_the_job_is_started() {
    let Some(context) = TestContext::new().await else { return };
    let (status, ack) = context.post(&valid()).await;
    assert_eq!(status, 200, "{ack} {}", context.function.log());
    let [run] = &context.cloud_run.runs()[..] else { unreachable!("one run") };
    assert_eq!(
        (run.env["EXPORT_ID"].as_str(), run.env["HF_TOKEN"].as_str()),
        (ack["export_id"].as_str().unwrap(), "hf_canary")
    );
    assert_eq!(run.env["PROJECT_ID"], context.project);

    let records = context.records().await;
    let [record] = &records[..] else { unreachable!("one record") };
    let field = |name: &str| record.fields[name].value_type.as_ref().unwrap();
    for (name, expected) in [
        ("export_id", run.env["EXPORT_ID"].as_str()),
        ("job_id", fixtures::JOB),
        ("type", "gguf"),
        ("hf_repo_id", "ada/gemma"),
        ("status", "running"),
        ("user_id", fixtures::ADA),
        ("execution", &run.execution),
    ] {
        assert_eq!(*field(name), ValueType::StringValue(expected.to_owned()), "{name}");
    }
    assert!(matches!(field("message"), ValueType::StringValue(_)));
    for (name, count) in [("destination", 2), ("artifacts", 0)] {
        assert!(matches!(field(name), ValueType::ArrayValue(all) if all.values.len() == count), "{name}");
    }
    for name in ["started_at", "updated_at"] {
        assert!(matches!(field(name), ValueType::TimestampValue(_)), "{name}");
    }
    assert!(matches!(field("finished_at"), ValueType::NullValue(_)));
    assert!(!format!("{record:?}{}", context.function.log()).contains("canary"));
}

#[tokio::test]
async fn a_rejected_launch_fails_the_record_and_an_ambiguous_one_does_not() {
    let Some(context) = TestContext::new().await else { return };
    for (behavior, expected) in
        [(RunJobBehavior::Status(Code::PermissionDenied), "failed"), (RunJobBehavior::DropReply, "running")]
    {
        let before: Vec<_> = context.records().await.into_iter().map(|record| record.name).collect();
        context.cloud_run.set_behavior(behavior);
        let (status, problem) = context.post(&valid()).await;
        assert_eq!((status, &problem["title"]), (500, &json!("Internal error")));
        let records = context.records().await;
        let record = records.iter().find(|record| !before.contains(&record.name)).unwrap();
        let status = record.fields["status"].value_type.clone();
        assert_eq!(status, Some(ValueType::StringValue(expected.to_owned())), "{behavior:?}");
    }
    assert!(!context.function.log().contains("canary"), "{}", context.function.log());
}

/// A slow Cloud Run response delays only its own request.
#[tokio::test]
async fn a_slow_launch_does_not_block_other_requests() {
    let Some(context) = TestContext::new().await else { return };
    context.post(&valid()).await;
    context.cloud_run.set_behavior(RunJobBehavior::Slow(Duration::from_secs(3)));
    let request = valid();
    let (slow, rejected) = tokio::join!(context.post(&request), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let started = std::time::Instant::now();
        let (status, _) = context.post(&json!({"job_id": "nowhere", "export_type": "gguf"})).await;
        (status, started.elapsed())
    });
    assert_eq!((slow.0, rejected.0), (200, 404));
    assert!(rejected.1 < Duration::from_secs(2), "{rejected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_equal_requests_with_one_key_start_one_export() {
    let Some(context) = TestContext::new().await else { return };
    let request = || context.request(&valid()).header("idempotency-key", "one-key").send();
    let answers = futures_util::future::join_all((0..1_000).map(|_| request())).await;
    let (mut ids, mut first, mut other) = (BTreeSet::new(), 0, BTreeMap::<u16, usize>::new());
    for answer in answers {
        let answer = answer.unwrap();
        if answer.status() != 200 {
            *other.entry(answer.status().as_u16()).or_default() += 1;
            continue;
        }
        first += usize::from(!answer.headers().contains_key("idempotent-replayed"));
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        ids.insert(answer["export_id"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), first, other), (1, 1, BTreeMap::new()), "{}", context.function.log());
    assert_eq!((context.records().await.len(), context.cloud_run.runs().len()), (1, 1));
}
