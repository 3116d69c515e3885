//! Claims and leases of an export, stops, and failures of the store.

use std::{fs, process::ExitCode, time::Duration};

use crate::support::World;
use job::{Context, Execution};
use shared::{
    domain::{ArtifactKind, Claim, Export, FailureCode, Quantization, Status, Transition},
    ports::Exports,
    testing::{fixtures, http::CapturedLogs},
};

fn is(code: ExitCode, expected: ExitCode) -> bool {
    format!("{code:?}") == format!("{expected:?}")
}

fn claim(by: &str, attempt: u32) -> Transition {
    Transition::Claim(Claim { attempt, ..fixtures::claim(by) })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_another_execution_is_left_to_it() {
    let world = World::new();
    let id = world.create(ArtifactKind::Adapter, None).await;
    world.store.apply(id, &claim("run-1", 0)).await.unwrap();
    let before = world.store.document("exports", &id.to_string());

    let code = world.run(id, "run-2", std::future::pending()).await;

    assert!(is(code, ExitCode::SUCCESS));
    assert_eq!(world.store.document("exports", &id.to_string()), before);
    assert_eq!(world.files("files"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_job_leaves_its_export_to_a_retry() {
    let world = World::new();
    let id = world.create(ArtifactKind::Gguf, Some(Quantization::Q8_0)).await;

    let code = world.run(id, "run-1", std::future::ready(())).await;

    let export = world.record(id).await;
    if export.status == Status::Running {
        assert!(is(code, ExitCode::FAILURE));
        assert_eq!(world.files("files"), [], "nothing partial is visible");
        let retry = world.store.apply(id, &claim("run-1", 1)).await.unwrap();
        assert_eq!(retry.claim.unwrap().attempt, 1);
    } else {
        // the work ended before the stop was noticed
        assert_eq!(export.status, Status::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_lease_expired_ends_as_failed() {
    let world = World::new();
    let id = world.create(ArtifactKind::Adapter, None).await;
    let mut document = world.store.document("exports", &id.to_string()).unwrap();
    document["lease_until"] = serde_json::json!("2020-01-01T00:00:00Z");
    world.store.put("exports", &id.to_string(), document);

    let code = world.run(id, "run-1", std::future::pending()).await;

    assert!(is(code, ExitCode::SUCCESS), "the end is recorded");
    let export = world.record(id).await;
    assert_eq!(export.status, Status::Failed);
    assert!(export.finished_at.is_some());
    assert_eq!(export.failure.unwrap().code, FailureCode::Interrupted);
}

/// The fields that log-based metrics read.
#[tokio::test(flavor = "multi_thread")]
async fn the_claim_and_the_end_are_logged_with_what_is_measured() {
    let world = World::new();
    let log = CapturedLogs::default();
    let guard = log.capture();
    world.export(ArtifactKind::Adapter).await;
    world.put_training_job("job-1", serde_json::json!({"artifacts": {}}));
    world.export(ArtifactKind::Adapter).await;
    let lost = world.create(ArtifactKind::Adapter, None).await;
    let mut document = world.store.document("exports", &lost.to_string()).unwrap();
    document["lease_until"] = serde_json::json!("2020-01-01T00:00:00Z");
    world.store.put("exports", &lost.to_string(), document);
    world.run(lost, "run-1", std::future::pending()).await;
    drop(guard);

    let lines = log.lines();
    let of =
        |message: &str| lines.iter().filter(|line| line["message"] == message).cloned().collect::<Vec<_>>();
    let claims = of("export claimed");
    assert_eq!(claims.len(), 2);
    for claim in claims {
        assert_eq!(claim["attempt"], 0);
        assert!((0.0..60.0).contains(&claim["seconds_since_request"].as_f64().unwrap()), "{claim}");
    }
    let codes: Vec<_> =
        of("export ended").iter().map(|line| line.get("failure.code").cloned().unwrap_or_default()).collect();
    assert_eq!(codes, [serde_json::json!(null), "invalid_input".into(), "interrupted".into()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_has_ended_is_not_run_again() {
    let world = World::new();
    let export = world.export(ArtifactKind::Adapter).await;
    let before = world.files("files");
    let code = world.run(export.id, "run-9", std::future::pending()).await;
    assert!(is(code, ExitCode::SUCCESS));
    assert_eq!(world.record(export.id).await.finished_at, export.finished_at);
    assert_eq!(world.files("files"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let world = World::new();
    let id = world.create(ArtifactKind::Adapter, None).await;
    world.store.fail_next("set_artifact", 1);
    let code = world.run(id, "run-1", std::future::pending()).await;
    assert!(is(code, ExitCode::SUCCESS));
    assert_eq!(world.record(id).await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_response_of_the_store_loses_nothing() {
    let transitions: [fn(&Transition) -> bool; 2] =
        [|t| matches!(t, Transition::Claim(_)), |t| matches!(t, Transition::Complete { .. })];
    for (number, lost) in transitions.into_iter().enumerate() {
        let world = World::new();
        let id = world.create(ArtifactKind::Adapter, None).await;
        world.store.lose_answer(lost);
        let code = world.run(id, "run-1", std::future::pending()).await;
        assert!(is(code, ExitCode::SUCCESS), "{number}");
        assert_eq!(world.record(id).await.status, Status::Completed, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_job_cannot_be_read_fails() {
    let world = World::new();
    let id = world.create(ArtifactKind::Adapter, None).await;
    world.store.fail_next("find", 1);
    let code = world.run(id, "run-1", std::future::pending()).await;
    assert!(is(code, ExitCode::SUCCESS));
    let export = world.record(id).await;
    assert_eq!(export.status, Status::Failed);
    let failure = export.failure.unwrap();
    assert_eq!(failure.code, FailureCode::Internal, "a store that fails is no invalid input");
    assert_eq!(export.message.as_ref(), Some(&failure.message));
    assert!(failure.message.contains("start the export again"));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_recorded_is_left_to_a_retry() {
    let world = World::new();
    let id = world.create(ArtifactKind::Merged, None).await;
    fs::remove_dir_all(world.path("models/adapters")).unwrap();
    world.store.fail_on(|transition| matches!(transition, Transition::Fail { .. }));
    let code = world.run(id, "run-1", std::future::pending()).await;
    assert!(is(code, ExitCode::FAILURE));
    assert_eq!(world.record(id).await.status, Status::Running);
}

/// The job notices when it writes its progress; if it writes none any more, before it publishes.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_export_leaves_no_file_and_exits_with_0() {
    let cancelled: [(Duration, fn(&Transition) -> bool); 2] = [
        (Duration::from_millis(1), |transition| matches!(transition, Transition::Claim(_))),
        (Duration::from_secs(3_600), |transition| matches!(transition, Transition::Progress { .. })),
    ];
    for (progress_interval, after) in cancelled {
        for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
            let world = World::new();
            let quantization = (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0);
            let id = world.create(kind, quantization).await;
            let (job, models) = (world.store.document("training_jobs", "job-1"), world.files("models"));
            world.store.cancel_after(after);
            let context = Context { progress_interval, ..world.context() };
            let execution = Execution { export: id, claim: fixtures::claim("run-1"), hf_token: None };
            let code = job::run(context, execution, std::future::pending()).await;
            assert!(is(code, ExitCode::SUCCESS), "{kind:?}");
            assert_eq!(world.record(id).await.failure, Some(Export::cancelled()), "{kind:?}");
            assert_eq!((world.files("files"), world.files("models")), (vec![], models), "{kind:?}");
            for folder in ["files/job-1", "models/merged_models/job-1"] {
                // the folder of manifests is that of all exports of the job
                let entries = fs::read_dir(world.path(folder)).into_iter().flatten();
                let left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
                assert!(left.iter().all(|name| name == "published"), "{kind:?}: {left:?}");
            }
            assert_eq!(world.store.document("training_jobs", "job-1"), job, "{kind:?}");
        }
    }
}
