//! Tests of `store`.

use async_trait::async_trait;
use serde_json::json;
use shared::{
    adapters::documents::{EXPORTS, TRAINING_JOBS},
    clock,
    domain::{CallerLimits, ExportId, Transition, TransitionError},
    ports::{ApplyError, Exports, TrainingJobs},
    testing::{conformance, fixtures},
};

use super::*;

struct SqliteHarness(DocumentStore);

#[async_trait]
impl conformance::StoreHarness for SqliteHarness {
    fn training_jobs(&self) -> &dyn TrainingJobs {
        &self.0
    }

    fn exports(&self) -> &dyn Exports {
        &self.0
    }

    async fn put(&self, collection: &str, id: &str, document: Value) {
        let sql = "INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3)";
        let connection = self.0.0.lock().unwrap();
        connection.execute(sql, params![collection, id, document.to_string()]).unwrap();
    }

    async fn document(&self, collection: &str, id: &str) -> Option<Value> {
        read(&self.0.0.lock().unwrap(), collection, id).unwrap()
    }
}

fn store() -> (tempfile::TempDir, DocumentStore) {
    let temp = tempfile::tempdir().unwrap();
    let store = DocumentStore::open(&temp.path().join("documents.db")).unwrap();
    (temp, store)
}

#[tokio::test]
async fn sqlite_passes_the_conformance_suite() {
    let (_temp, store) = store();
    conformance::run(&SqliteHarness(store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_many_processes_can_claim_an_export() {
    let (temp, store) = store();
    let export = fixtures::new_export(ExportId::random(), "job-1", clock::now());
    store.create(&export, CallerLimits::NONE).await.unwrap();
    let claims: Vec<_> = (0..8)
        .map(|n| {
            // a separate connection, as another process has
            let store = DocumentStore::open(&temp.path().join("documents.db")).unwrap();
            let claim = Transition::Claim(fixtures::claim(&format!("run-{n}")));
            tokio::spawn(async move { store.apply(export.id, &claim).await })
        })
        .collect();
    let mut won = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => {
                assert!(matches!(error, ApplyError::Refused(TransitionError::ClaimedByAnother)), "{error:?}");
            }
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_to_one_document_are_all_kept() {
    let (temp, store) = store();
    store.put_new(TRAINING_JOBS, "job-1", &json!({})).await.unwrap();
    let count = |name: &'static str| {
        let store = DocumentStore::open(&temp.path().join("documents.db")).unwrap();
        tokio::spawn(async move {
            for _ in 0..50 {
                let add = move |document: Option<&mut Value>| {
                    let document = document.unwrap();
                    document[name] = json!(document[name].as_u64().unwrap_or(0) + 1);
                    Ok::<_, StoreError>(())
                };
                store.change(TRAINING_JOBS, "job-1".to_owned(), add).await.unwrap();
            }
        })
    };
    let (a, b) = (count("a"), count("b"));
    a.await.unwrap();
    b.await.unwrap();
    let read = read(&store.0.lock().unwrap(), TRAINING_JOBS, "job-1").unwrap();
    assert_eq!(read, Some(json!({"a": 50, "b": 50})));
}

#[tokio::test]
async fn queries_use_their_indexes() {
    let (_temp, store) = store();
    for sql in [
        exports::EXPORTS_OF_JOB,
        exports::EXPORTS_OF_USER,
        exports::RUNNING_EXPORTS,
        training_jobs::COMPLETED_JOBS_OF,
    ] {
        let connection = store.0.lock().unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let arguments = vec!["x"; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(arguments), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(plan.iter().all(|step| step.contains("USING INDEX")), "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn put_new_does_not_replace_a_document() {
    let (_temp, store) = store();
    assert!(store.put_new(EXPORTS, "1", &json!({"a": 1})).await.unwrap());
    assert!(!store.put_new(EXPORTS, "1", &json!({"a": 2})).await.unwrap());
    assert_eq!(read(&store.0.lock().unwrap(), EXPORTS, "1").unwrap(), Some(json!({"a": 1})));
}

#[tokio::test]
async fn relocate_replaces_the_url_prefix_in_documents() {
    let (_temp, store) = store();
    let job = json!({"adapter_path": "file:///old%20folder/buckets/training/a", "x": "file:///other"});
    store.put_new(TRAINING_JOBS, "job-1", &job).await.unwrap();
    store.relocate("file:///old%20folder/buckets", "file:///new/buckets").await.unwrap();
    let moved = TrainingJobs::find(&store, &"job-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(moved.adapter_path.as_deref(), Some("file:///new/buckets/training/a"));
}

#[tokio::test]
async fn only_running_exports_are_returned() {
    let (_temp, store) = store();
    let (running, ended) = (
        fixtures::new_export(ExportId::random(), "a", clock::now()),
        fixtures::new_export(ExportId::random(), "a", clock::now()),
    );
    for export in [&running, &ended] {
        store.create(export, CallerLimits::NONE).await.unwrap();
    }
    store.apply(ended.id, &Transition::Fail { claim: None, failure: fixtures::failure("x") }).await.unwrap();
    let ids: Vec<_> = store.running().await.unwrap().iter().map(|export| export.id).collect();
    assert_eq!(ids, [running.id]);
}
