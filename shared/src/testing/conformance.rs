//! The conformance suite for stores: in memory, SQLite and Firestore. Ids and owners are random, so the suite can run on
//! a store with other documents, and concurrently with itself.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixtures;
use crate::{
    adapters::documents::{EXPORTS, TRAINING_JOBS},
    clock,
    domain::{
        Artifact, ArtifactKind, CallerLimits, CallerQuotas, CreateExport, ExecutionName, Export, ExportId,
        HistoryCursor, HistoryPage, MAX_BYTES_LIMIT, NewExport, Status, Transition, TransitionError, UserId,
        Variant,
    },
    ports::{ApplyError, CreateOutcome, CreatedExport, Exports, TrainingJobs},
};

/// A store and direct access to its documents.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// The store's training jobs.
    fn training_jobs(&self) -> &dyn TrainingJobs;
    /// The store's exports.
    fn exports(&self) -> &dyn Exports;
    /// Writes a document unchanged. A store with a native timestamp type uses it for `created_at`, `started_at`,
    /// `updated_at`, `finished_at`, `lease_until` and `expire_at` that hold RFC 3339 text.
    async fn put(&self, collection: &str, id: &str, document: Value);
    /// Reads a document unchanged, with times as RFC 3339 strings.
    async fn document(&self, collection: &str, id: &str) -> Option<Value>;
}

/// Runs the whole suite.
///
/// # Panics
/// If the store does not conform.
pub async fn run(harness: &dyn StoreHarness) {
    a_created_export_can_be_read(harness).await;
    creating_an_existing_export_changes_nothing(harness).await;
    a_caller_has_no_more_exports_than_the_limits(harness).await;
    concurrent_exports_of_a_caller_stay_within_the_limits(harness).await;
    missing_documents_are_not_found(harness).await;
    the_latest_export_has_the_latest_start(harness).await;
    a_history_is_paged_newest_first(harness).await;
    invalid_exports_are_skipped(harness).await;
    every_transition_is_stored(harness).await;
    a_created_export_changes_without_a_loss(harness).await;
    a_rejected_transition_does_not_change_the_document(harness).await;
    only_an_ended_export_expires(harness).await;
    an_export_with_an_expired_lease_can_only_fail(harness).await;
    a_cancelled_export_has_ended(harness).await;
    one_of_several_concurrent_claims_succeeds(harness).await;
    unknown_fields_of_an_export_are_preserved(harness).await;
    the_list_contains_the_completed_jobs_of_the_owner_newest_first(harness).await;
    odd_fields_leave_a_job_readable(harness).await;
    an_artifact_is_added_to_the_existing_ones(harness).await;
    unusual_ids_are_supported(harness).await;
}

fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4())
}

fn random_user() -> UserId {
    fixtures::user(&unique("uid"))
}

/// An export document of the older service.
fn older(id: ExportId, job: &str, started_at: &str) -> Value {
    json!({
        "export_id": id.to_string(), "job_id": job, "type": "gguf", "destination": ["gcs"], "hf_repo_id": null,
        "status": "running", "message": null, "artifacts": [], "started_at": started_at,
        "updated_at": started_at, "finished_at": null, "unknown_field": {"kept": [1, null, "ü"]},
    })
}

async fn create(harness: &dyn StoreHarness, job: &str) -> Export {
    let (export, created) = create_within(harness, job, CallerLimits::NONE).await;
    assert_eq!(created.quotas, CallerQuotas::default());
    export
}

async fn create_within(
    harness: &dyn StoreHarness,
    job: &str,
    limits: CallerLimits,
) -> (Export, CreatedExport) {
    let export = fixtures::new_export(ExportId::random(), job, clock::now());
    let created = harness.exports().create(&export, limits).await.expect("the store works");
    let CreateOutcome::Created(created) = created else { panic!("the id is random: {created:?}") };
    (export, created)
}

async fn find(harness: &dyn StoreHarness, id: ExportId) -> Export {
    harness.exports().find(id).await.expect("the store works").expect("the export exists")
}

async fn raw(harness: &dyn StoreHarness, id: ExportId) -> Value {
    harness.document(EXPORTS, &id.to_string()).await.expect("the document exists")
}

/// Compares two exports. A store may replace the times with those of its own clock.
fn assert_same(stored: &Export, written: &Export) {
    let close = |a: Timestamp, b: Timestamp| a.duration_since(b).abs() < SignedDuration::from_mins(1);
    assert!(close(stored.started_at, written.started_at) && close(stored.updated_at, written.updated_at));
    let begun = |export: &Export| export.step_started_at.unwrap_or(Timestamp::UNIX_EPOCH);
    assert!(close(begun(stored), begun(written)));
    let at_its_times = Export {
        step_started_at: stored.step_started_at,
        started_at: stored.started_at,
        updated_at: stored.updated_at,
        finished_at: stored.finished_at,
        ..written.clone()
    };
    assert_eq!(*stored, at_its_times);
}

async fn a_created_export_can_be_read(harness: &dyn StoreHarness) {
    let export = create(harness, &unique("job")).await;
    assert_same(&find(harness, export.id).await, &export);
    let document = raw(harness, export.id).await;
    assert_eq!(document["export_id"], export.id.to_string());
    assert_eq!((&document["status"], &document["finished_at"]), (&json!("running"), &Value::Null));

    let url = |name: &str| Some(format!("gs://models/adapters/job-1/{name}"));
    let with_options = Export {
        quantizations: Vec::new(),
        imatrix: url("imatrix.gguf"),
        prompts_uri: url("prompts.jsonl"),
        calibration_uri: url("text.txt"),
        max_bytes: Some(MAX_BYTES_LIMIT),
        ..fixtures::new_export(ExportId::random(), &unique("job"), clock::now())
    };
    harness.exports().create(&with_options, CallerLimits::NONE).await.expect("the store works");
    assert_same(&find(harness, with_options.id).await, &with_options);
}

async fn creating_an_existing_export_changes_nothing(harness: &dyn StoreHarness) {
    let export = create(harness, &unique("job")).await;
    let before = raw(harness, export.id).await;
    let twin = fixtures::new_export(export.id, &unique("job"), clock::now());
    let second = harness.exports().create(&twin, CallerLimits::NONE).await.expect("the store works");
    assert_eq!(second, CreateOutcome::Exists);
    assert_eq!(raw(harness, export.id).await, before);
}

fn export_of(user: &UserId, job: &str) -> Export {
    let request: CreateExport = fixtures::request(job);
    let new = NewExport {
        id: ExportId::random(),
        user,
        request: &request,
        request_hash: None,
        retention_days: None,
    };
    Export::new(&new, clock::now())
}

async fn a_caller_has_no_more_exports_than_the_limits(harness: &dyn StoreHarness) {
    let (user, other, job) = (random_user(), random_user(), unique("job"));
    let create = async |user: &UserId, limits: CallerLimits| {
        let export = export_of(user, &job);
        (harness.exports().create(&export, limits).await.expect("the store works"), export.id)
    };
    let used = |outcome: CreateOutcome| match outcome {
        CreateOutcome::Created(CreatedExport { quotas, .. }) => {
            (true, [quotas.running, quotas.daily].map(|quota| quota.map_or(0, |quota| quota.used)))
        }
        CreateOutcome::TooMany(quotas) => {
            (false, [quotas.running, quotas.daily].map(|quota| quota.map_or(0, |quota| quota.used)))
        }
        CreateOutcome::Exists => panic!("the ids are random"),
    };
    let limits = CallerLimits { running: 2, daily: 4 };
    let only_running = CallerLimits { daily: 0, ..limits };
    let (outcome, first) = create(&user, limits).await;
    assert_eq!(used(outcome), (true, [1, 1]));
    assert_eq!(used(create(&user, limits).await.0), (true, [2, 2]));
    let (refused, id) = create(&user, limits).await;
    assert_eq!(used(refused), (false, [2, 2]));
    assert!(harness.exports().find(id).await.expect("the store works").is_none(), "nothing is stored");
    assert_eq!(used(create(&user, only_running).await.0), (false, [2, 0]));
    assert_eq!(used(create(&other, limits).await.0), (true, [1, 1]), "each caller has their own");

    let failure = Transition::Fail { claim: None, failure: fixtures::failure("ended") };
    harness.exports().apply(first, &failure).await.expect("it is running");
    assert_eq!(used(create(&user, limits).await.0), (true, [2, 3]));
    let lost = ExportId::random();
    let mut document = older(lost, &job, "2026-01-01T00:00:00Z");
    document["user_id"] = json!(user.as_str());
    document["lease_until"] = json!("2026-01-01T00:15:00Z");
    harness.put(EXPORTS, &lost.to_string(), document).await;
    assert_eq!(used(create(&user, only_running).await.0), (false, [2, 0]), "it lost its lease");
    let daily = CallerLimits { running: 0, ..limits };
    assert_eq!(used(create(&user, daily).await.0), (true, [0, 4]), "it is older than a day");
    assert_eq!(used(create(&user, daily).await.0), (false, [0, 4]));
    assert_eq!(used(create(&user, CallerLimits::NONE).await.0), (true, [0, 0]));

    let limits = CallerLimits { daily: 50, ..limits };
    let quotas = harness.exports().quotas(&user, limits).await.expect("the store works");
    assert_eq!([quotas.running, quotas.daily].map(|quota| quota.map(|quota| quota.used)), [Some(4), Some(5)]);
    let none = harness.exports().quotas(&random_user(), limits).await.expect("the store works");
    assert_eq!(none.running.map(|quota| quota.used), Some(0));
}

async fn concurrent_exports_of_a_caller_stay_within_the_limits(harness: &dyn StoreHarness) {
    for limits in [
        CallerLimits { running: 3, daily: 50 },
        CallerLimits { running: 0, daily: 3 },
        CallerLimits { running: 3, daily: 0 },
    ] {
        let (user, job) = (random_user(), unique("job"));
        let exports: Vec<_> = (0..24).map(|_| export_of(&user, &job)).collect();
        let created = futures_util::future::join_all(
            exports.iter().map(|export| harness.exports().create(export, limits)),
        )
        .await;
        let count = |matches: fn(&CreateOutcome) -> bool| {
            created.iter().flatten().filter(|outcome| matches(outcome)).count()
        };
        let stored = count(|outcome| matches!(outcome, CreateOutcome::Created(_)));
        let refused = count(|outcome| matches!(outcome, CreateOutcome::TooMany(_)));
        assert_eq!((stored, refused), (3, 21), "{created:?}");
        let mut found = 0;
        for export in &exports {
            found += usize::from(harness.exports().find(export.id).await.expect("the store works").is_some());
        }
        assert_eq!(found, 3);
    }
}

async fn missing_documents_are_not_found(harness: &dyn StoreHarness) {
    let (id, job) = (ExportId::random(), fixtures::job_id(&unique("job")));
    assert!(harness.exports().find(id).await.expect("the store works").is_none());
    assert!(harness.exports().latest(&job).await.expect("the store works").is_none());
    assert!(harness.training_jobs().find(&job).await.expect("the store works").is_none());
    assert!(
        harness.training_jobs().list_completed(&random_user()).await.expect("the store works").is_empty()
    );
    let claim = Transition::Claim(fixtures::claim("run-1"));
    assert!(matches!(harness.exports().apply(id, &claim).await, Err(ApplyError::NoSuchExport)));
    assert!(harness.training_jobs().set_artifact(&job, &fixtures::gguf()).await.is_err());
    assert_eq!(harness.document(TRAINING_JOBS, job.as_str()).await, None, "nothing was created");
}

async fn the_latest_export_has_the_latest_start(harness: &dyn StoreHarness) {
    let (job, other) = (unique("job"), unique("job"));
    let [first, latest, second, elsewhere] = [(); 4].map(|()| ExportId::random());
    for (id, job, started_at) in [
        (second, &job, "2026-02-01T00:00:00Z"),
        (latest, &job, "2026-03-01T00:00:00.000002Z"),
        (first, &job, "2026-03-01T00:00:00.000001Z"),
        (elsewhere, &other, "2026-04-01T00:00:00Z"),
    ] {
        harness.put(EXPORTS, &id.to_string(), older(id, job, started_at)).await;
    }
    let found = harness.exports().latest(&fixtures::job_id(&job)).await.expect("the store works");
    assert_eq!(found.expect("there are exports").id, latest);
}

async fn a_history_is_paged_newest_first(harness: &dyn StoreHarness) {
    let (job, other) = (unique("job"), unique("job"));
    let mut made = Vec::new();
    for _ in 0..5 {
        let export = create(harness, &job).await.id;
        made.push(export);
        // The store's own time may have milliseconds, and the machine's clock may be set back.
        let started_at = find(harness, export).await.started_at;
        while find(harness, create(harness, &other).await.id).await.started_at <= started_at {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
    made.reverse();
    let id = fixtures::job_id(&job);
    let size = |text: &str| text.parse().expect("a page size");
    let page = async |after: Option<ExportId>, count: &str| {
        let after = match after {
            Some(id) => Some(HistoryCursor::from(&find(harness, id).await)),
            None => None,
        };
        harness.exports().history(&id, after, size(count)).await.expect("the store works")
    };
    let mut seen = Vec::new();
    let mut next = None;
    for expected in [2, 2, 1] {
        let HistoryPage { exports, next: following } = page(next, "2").await;
        assert_eq!(exports.len(), expected);
        seen.extend(exports.iter().map(|export| export.id));
        next = following;
    }
    assert_eq!((seen, next), (made.clone(), None));
    let whole = page(None, "5").await;
    assert_eq!((whole.exports.len(), whole.next), (5, None));
    let nothing = page(made.last().copied(), "5").await;
    assert_eq!((nothing.exports.len(), nothing.next), (0, None));
}

async fn invalid_exports_are_skipped(harness: &dyn StoreHarness) {
    let job = unique("job");
    let [good, bad] = [(); 2].map(|()| ExportId::random());
    harness.put(EXPORTS, &good.to_string(), older(good, &job, "2026-02-01T00:00:00Z")).await;
    let mut broken = older(bad, &job, "2026-03-01T00:00:00Z");
    broken["status"] = json!("exploded");
    harness.put(EXPORTS, &bad.to_string(), broken).await;
    let found = harness.exports().latest(&fixtures::job_id(&job)).await.expect("the store works");
    assert_eq!(found.expect("one is valid").id, good);
    let size = "1".parse().expect("a page size");
    let page = harness.exports().history(&fixtures::job_id(&job), None, size).await.expect("the store works");
    let ids: Vec<_> = page.exports.iter().map(|export| export.id).collect();
    assert_eq!((ids, page.next), (vec![good], None), "it takes no place in a page");
    assert!(harness.exports().find(bad).await.is_err());
}

async fn every_transition_is_stored(harness: &dyn StoreHarness) {
    let mut expected = create(harness, &unique("job")).await;
    for transition in fixtures::lifecycle() {
        let returned =
            harness.exports().apply(expected.id, &transition).await.expect("the transition is valid");
        assert_eq!(find(harness, expected.id).await, returned, "the returned export is the stored one");
        expected = expected.apply(&transition, clock::now()).expect("the transition is valid");
        expected.lease_until = returned.lease_until;
        expected.expire_at = returned.expire_at;
        assert_same(&returned, &expected);
    }
    let ended = find(harness, expected.id).await;
    assert_eq!(
        (ended.status, ended.artifacts, ended.lease_until),
        (Status::Completed, vec![fixtures::gguf()], None)
    );
    assert_eq!(ended.finished_at, Some(ended.updated_at));
}

async fn a_created_export_changes_without_a_loss(harness: &dyn StoreHarness) {
    let limited = CallerLimits { running: 1_000, daily: 1_000 };
    let [claim, ..] = fixtures::lifecycle();
    for limits in [CallerLimits::NONE, limited] {
        for before in [None, Some(&claim), Some(&Transition::Cancel)] {
            let (export, created) = create_within(harness, &unique("job"), limits).await;
            let mut expected = find(harness, export.id).await;
            if let Some(before) = before {
                expected = harness.exports().apply(export.id, before).await.expect("the export is new");
            }
            let launched = Transition::Launched(ExecutionName::new("run-1"));
            let result = harness.exports().apply_to_created(&export, created, &launched).await;
            match before {
                Some(Transition::Cancel) => {
                    assert!(matches!(result, Err(ApplyError::Refused(TransitionError::Ended))), "{result:?}");
                }
                _ => {
                    result.expect("the transition is valid");
                    expected = expected.apply(&launched, clock::now()).expect("the transition is valid");
                }
            }
            assert_same(&find(harness, export.id).await, &expected);
        }
    }
}

async fn a_rejected_transition_does_not_change_the_document(harness: &dyn StoreHarness) {
    let export = create(harness, &unique("job")).await;
    let [claim, report, .., complete] = fixtures::lifecycle();
    let assert_rejected = async |transition: &Transition, why: TransitionError| {
        let before = raw(harness, export.id).await;
        let result = harness.exports().apply(export.id, transition).await;
        assert!(matches!(result, Err(ApplyError::Refused(reason)) if reason == why), "{result:?}");
        assert_eq!(raw(harness, export.id).await, before);
    };
    assert_rejected(&report, TransitionError::NotClaimed).await;
    harness.exports().apply(export.id, &claim).await.expect("the first claim");
    // Rejected from another process, accepted from the same process, whose response may have been lost.
    assert_rejected(&Transition::Claim(fixtures::claim("run-1")), TransitionError::ClaimedByAnother).await;
    harness.exports().apply(export.id, &claim).await.expect("the same claim again");
    assert_rejected(&Transition::Claim(fixtures::claim("run-2")), TransitionError::ClaimedByAnother).await;
    harness.exports().apply(export.id, &complete).await.expect("the holder completes");
    assert_rejected(&report, TransitionError::Ended).await;
    let failure =
        Transition::Fail { claim: Some(fixtures::claim("run-1")), failure: fixtures::failure("too late") };
    assert_rejected(&failure, TransitionError::Ended).await;
}

async fn only_an_ended_export_expires(harness: &dyn StoreHarness) {
    let [claim, first, second, launched, complete] = fixtures::lifecycle();
    let running = [claim, first, second, launched];
    let failed = Transition::Fail { claim: None, failure: fixtures::failure("not started") };
    let kept = Export {
        retention_days: None,
        ..fixtures::new_export(ExportId::random(), &unique("job"), clock::now())
    };
    for (export, transitions, end) in [
        (fixtures::new_export(ExportId::random(), &unique("job"), clock::now()), &running[..], &complete),
        (fixtures::new_export(ExportId::random(), &unique("job"), clock::now()), &[], &failed),
        (kept, &[], &failed),
    ] {
        harness.exports().create(&export, CallerLimits::NONE).await.expect("the store works");
        for transition in transitions {
            assert_eq!(raw(harness, export.id).await["expire_at"], Value::Null, "before {transition:?}");
            harness.exports().apply(export.id, transition).await.expect("the transition is valid");
        }
        assert_eq!(raw(harness, export.id).await["expire_at"], Value::Null, "before {end:?}");
        harness.exports().apply(export.id, end).await.expect("the transition is valid");
        let document = raw(harness, export.id).await;
        let Some(days) = export.retention_days else {
            assert_eq!(document["expire_at"], Value::Null, "without a retention");
            continue;
        };
        let time = |field: &str| -> Timestamp {
            document[field].as_str().and_then(|text| text.parse().ok()).expect("a time")
        };
        let kept = time("expire_at").duration_since(time("finished_at"));
        let expected = SignedDuration::from_hours(24 * i64::from(days.get()));
        assert!((kept - expected).abs() < SignedDuration::from_mins(1), "{kept}");
    }
}

async fn an_export_with_an_expired_lease_can_only_fail(harness: &dyn StoreHarness) {
    let id = ExportId::random();
    let mut document = older(id, &unique("job"), "2026-01-01T00:00:00Z");
    document["lease_until"] = json!("2026-01-01T00:15:00Z");
    harness.put(EXPORTS, &id.to_string(), document).await;
    let claim = Transition::Claim(fixtures::claim("run-1"));
    let result = harness.exports().apply(id, &claim).await;
    assert!(matches!(result, Err(ApplyError::Refused(TransitionError::LeaseExpired))), "{result:?}");
    assert_eq!(find(harness, id).await.as_of(clock::now()).status, Status::Failed);
    let failure = Transition::Fail { claim: None, failure: fixtures::failure("lost") };
    let ended = harness.exports().apply(id, &failure).await.expect("it can be marked as failed");
    assert_eq!(ended.status, Status::Failed);
}

async fn a_cancelled_export_has_ended(harness: &dyn StoreHarness) {
    let export = create(harness, &unique("job")).await;
    let [claim, report, .., complete] = fixtures::lifecycle();
    harness.exports().apply(export.id, &claim).await.expect("the claim");
    let cancelled = harness.exports().apply(export.id, &Transition::Cancel).await.expect("it is running");
    assert_eq!((cancelled.status, cancelled.failure.clone()), (Status::Failed, Some(Export::cancelled())));
    assert_eq!(find(harness, export.id).await, cancelled);
    for late in [report, complete, Transition::Cancel] {
        let result = harness.exports().apply(export.id, &late).await;
        assert!(matches!(result, Err(ApplyError::Refused(TransitionError::Ended))), "{result:?}");
    }
}

async fn one_of_several_concurrent_claims_succeeds(harness: &dyn StoreHarness) {
    let export = create(harness, &unique("job")).await;
    let claims = ["run-1", "run-2", "run-3", "run-4"].map(|run| Transition::Claim(fixtures::claim(run)));
    let [a, b, c, d] = &claims;
    let apply = |claim| harness.exports().apply(export.id, claim);
    let results = tokio::join!(apply(a), apply(b), apply(c), apply(d));
    let (mut won, mut lost) = (Vec::new(), 0);
    for result in [results.0, results.1, results.2, results.3] {
        match result {
            Ok(export) => won.push(export.claim),
            Err(ApplyError::Refused(TransitionError::ClaimedByAnother)) => lost += 1,
            Err(other) => panic!("unexpected error: {other:?}"),
        }
    }
    assert_eq!((won.len(), lost), (1, 3));
    assert_eq!(find(harness, export.id).await.claim, won[0]);
}

async fn unknown_fields_of_an_export_are_preserved(harness: &dyn StoreHarness) {
    let (id, job) = (ExportId::random(), unique("job"));
    let now = clock::now().to_string();
    harness.put(EXPORTS, &id.to_string(), older(id, &job, &now)).await;
    for transition in fixtures::lifecycle() {
        harness.exports().apply(id, &transition).await.expect("the transition is valid");
    }
    let document = raw(harness, id).await;
    assert_eq!(document["unknown_field"], json!({"kept": [1, null, "ü"]}));
    assert_eq!((&document["status"], &document["type"]), (&json!("completed"), &json!("gguf")));
}

async fn the_list_contains_the_completed_jobs_of_the_owner_newest_first(harness: &dyn StoreHarness) {
    let (owner, other) = (random_user(), random_user());
    let of = |owner: &UserId, status: &str, created_at: Value| {
        let mut job = fixtures::training_job(owner.as_str());
        job["status"] = json!(status);
        job["created_at"] = created_at;
        job
    };
    let [a, b, c, d, e, f] = ["a", "b", "c", "d", "e", "f"].map(unique);
    for (id, job) in [
        (&c, of(&owner, "completed", Value::Null)),
        (&b, of(&owner, "completed", json!("2026-05-01T00:00:00Z"))),
        (&a, of(&owner, "completed", json!("2026-05-01T00:00:00Z"))),
        (&d, of(&owner, "completed", json!("2026-05-01T00:00:00.000001Z"))),
        (&e, of(&owner, "running", json!("2026-06-01T00:00:00Z"))),
        (&f, of(&other, "completed", json!("2026-06-01T00:00:00Z"))),
    ] {
        harness.put(TRAINING_JOBS, id, job).await;
    }
    let jobs = harness.training_jobs().list_completed(&owner).await.expect("the store works");
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, [&d, &a, &b, &c]);
    assert!(jobs.iter().all(|job| job.owner.as_ref() == Some(&owner)));
}

async fn odd_fields_leave_a_job_readable(harness: &dyn StoreHarness) {
    let owner = random_user();
    let id = unique("job");
    let mut odd = fixtures::training_job(owner.as_str());
    odd["job_name"] = json!({"not": "text"});
    odd["modality"] = json!(7);
    harness.put(TRAINING_JOBS, &id, odd).await;
    let jobs = harness.training_jobs().list_completed(&owner).await.expect("the store works");
    assert_eq!(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), [&id]);
    let job = harness.training_jobs().find(&fixtures::job_id(&id)).await.expect("the store works");
    let job = job.expect("the job exists");
    assert_eq!((job.name.as_deref(), job.owner.as_ref()), (None, Some(&owner)));
    assert!(job.adapter_path.is_some() && job.created_at.is_some());
}

async fn an_artifact_is_added_to_the_existing_ones(harness: &dyn StoreHarness) {
    let id = unique("job");
    let jobs = harness.training_jobs();
    let hub = Artifact::new(ArtifactKind::Merged, Variant::Hf, "ada/gemma");
    let mut expected = fixtures::training_job(random_user().as_str());
    harness.put(TRAINING_JOBS, &id, expected.clone()).await;
    for artifact in [&fixtures::gguf(), &hub] {
        jobs.set_artifact(&fixtures::job_id(&id), artifact).await.expect("the job exists");
        expected["artifacts"][artifact.variant.as_str()][artifact.kind.as_str()] = json!(artifact.path);
    }
    assert_eq!(harness.document(TRAINING_JOBS, &id).await, Some(expected));
    let job = jobs.find(&fixtures::job_id(&id)).await.expect("the store works").expect("the job exists");
    assert_eq!(job.artifacts.path(Variant::Hf, ArtifactKind::Merged), Some("ada/gemma"));

    for without_artifacts in [json!({"artifacts": null}), json!({}), json!({"artifacts": {"hf": null}})] {
        let id = unique("job");
        harness.put(TRAINING_JOBS, &id, without_artifacts).await;
        jobs.set_artifact(&fixtures::job_id(&id), &hub).await.expect("the job exists");
        let document = harness.document(TRAINING_JOBS, &id).await.expect("the document exists");
        assert_eq!(document, json!({"artifacts": {"hf": {"merged": "ada/gemma"}}}));
    }
}

async fn unusual_ids_are_supported(harness: &dyn StoreHarness) {
    let owner = random_user();
    let unusual =
        ["a b", "ü東🦀", "100%2F%", "a.b`c", "'; DROP TABLE x; --", "*_?[]", "\\", "\"", "__x", "#?&=+"];
    let mut ids: Vec<String> = unusual.map(unique).into();
    // The longest valid id.
    ids.push(format!("{}x{}", Uuid::new_v4(), "é".repeat((1_499 - 37) / 2)));
    for id in &ids {
        harness.put(TRAINING_JOBS, id, fixtures::training_job(owner.as_str())).await;
        let job = fixtures::job_id(id);
        harness.training_jobs().set_artifact(&job, &fixtures::gguf()).await.expect("the job exists");
        let found =
            harness.training_jobs().find(&job).await.expect("the store works").expect("the job exists");
        assert_eq!(found.id, job);
        let export = create(harness, id).await;
        let latest =
            harness.exports().latest(&job).await.expect("the store works").expect("the export exists");
        assert_eq!((latest.id, latest.job_id), (export.id, job));
    }
    let listed = harness.training_jobs().list_completed(&owner).await.expect("the store works");
    ids.sort_unstable();
    assert_eq!(listed.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ids);
}
