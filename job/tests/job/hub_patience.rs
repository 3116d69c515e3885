//! Failures of the Hub that pass: requests are repeated, after the time that the Hub asks for.

use std::{
    fs,
    time::{Duration, Instant},
};

use e2e::hub::{Answer, Fault, Step};
use futures_util::future::join_all;
use shared::domain::{ArtifactKind, CreateExport, Destination, Destinations, FailureCode, Status};
use shared::testing::fixtures;

use crate::{
    hub::{REPO, WRITER, export, hub, message},
    support::World,
};

const READING: [Step; 3] = [Step::Info, Step::Tree, Step::Resolve];
const PUSHING: [Step; 6] =
    [Step::Create, Step::Preupload, Step::Batch, Step::WriteToken, Step::Commit, Step::Download];

/// An export whose base model is read from the Hub, and which is pushed to it with a file for the batch request.
async fn export_with(faults: &[(Step, Fault)], times: usize) -> shared::domain::Export {
    export_within(|world| world, faults, times).await
}

async fn export_within(
    limit: impl FnOnce(World) -> World,
    faults: &[(Step, Fault)],
    times: usize,
) -> shared::domain::Export {
    let hub = hub().await;
    let world = limit(World::with_hub(hub.endpoint(), Some(WRITER)));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    fs::write(world.path("models/adapters/job-1/tokenizer.model"), vec![7; 11 << 20]).unwrap();
    for (step, fault) in faults {
        hub.fail(*step, *fault, times);
    }
    let made = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;
    if made.status == Status::Completed {
        assert_eq!(hub.repo(REPO).unwrap().commits, 1);
        for (step, _) in faults {
            assert!(hub.asked(*step) > times, "{step:?}");
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_for_a_while_is_repeated_at_every_step() {
    join_all(READING.into_iter().chain(PUSHING).map(|step| async move {
        let made = export_with(&[(step, Fault::Answer(Answer::UNAVAILABLE))], 2).await;
        assert_eq!(made.status, Status::Completed, "{step:?}: {}", message(&made));
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_and_a_redirect_that_passes_are_no_end() {
    join_all([Fault::Drops, Fault::Truncates, Fault::RedirectLoop].map(|fault| async move {
        let steps = [Step::Info, Step::Tree, Step::Batch, Step::Preupload, Step::Download];
        let made = export_with(&steps.map(|step| (step, fault)), 2).await;
        assert_eq!(made.status, Status::Completed, "{fault:?}: {}", message(&made));
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_without_an_end_is_an_error() {
    for step in [Step::Info, Step::Resolve] {
        let made = export_with(&[(step, Fault::RedirectLoop)], usize::MAX).await;
        assert_eq!(made.failure.as_ref().map(|failure| failure.code), Some(FailureCode::Interrupted));
        assert!(message(&made).contains("try again in a few minutes"), "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_of_the_hub_is_named() {
    for step in [Step::Info, Step::Tree, Step::Batch] {
        let made = export_with(&[(step, Fault::RedirectAway)], usize::MAX).await;
        assert_eq!(made.failure.as_ref().map(|failure| failure.code), Some(FailureCode::Internal));
        let expected = "the Hub redirects to http://127.0.0.1:9: set HF_ENDPOINT";
        assert!(message(&made).contains(expected), "{step:?}: {}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_breaks_off_is_checked_and_not_repeated() {
    for fault in [Fault::Drops, Fault::Truncates] {
        let hub = hub().await;
        hub.fail(Step::Commit, fault, 1);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{fault:?}: {}", message(&made));
        assert_eq!((hub.repo(REPO).unwrap().commits, hub.asked(Step::Commit)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_quota_is_waited_for() {
    join_all([Answer::QUOTA, Answer::RETRY_AFTER].map(|answer| async move {
        let started = Instant::now();
        let steps = [Step::Info, Step::Tree, Step::Resolve, Step::Batch, Step::Commit];
        // the client does not pass on the header of the quota, which is asked for with one more request
        let made = export_with(&steps.map(|step| (step, Fault::Answer(answer))), 2).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        assert!(started.elapsed() > Duration::from_secs(5), "a second each");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_file_that_passes_is_waited_for() {
    for answer in [Answer::UNAVAILABLE, Answer { header: None, ..Answer::QUOTA }] {
        let made = export_with(&[(Step::Batch, Fault::FileError(answer))], 2).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_counts_that_a_request_shows_which_succeeds() {
    for step in [Step::Tree, Step::Preupload, Step::Commit] {
        // the request that fails, and the HEAD
        for (quota, status) in [
            ("\"api\";r=0;t=295", Status::Failed),
            ("\"api\";r=0;t=1", Status::Completed),
            ("\"api\";r=5;t=295", Status::Completed),
        ] {
            let made = export_with(&[(step, Fault::QuotaInHead(quota))], 2).await;
            assert_eq!(made.status, status, "{step:?} {quota}: {}", message(&made));
            let is_named = message(&made).contains("limits the rate of requests");
            assert_eq!(is_named, status == Status::Failed, "{step:?} {quota}: {}", message(&made));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_waited_for_until_the_limit_of_the_job() {
    let quota = [
        (Step::Info, Fault::Answer(Answer::RETRY_AFTER)),
        (Step::Commit, Fault::Answer(Answer::RETRY_AFTER)),
    ];
    let until =
        |seconds| move |world: World| world.waiting_until(Instant::now() + Duration::from_secs(seconds));
    let made = export_within(until(60), &quota, 4).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let made = export_within(until(0), &quota, 4).await;
    assert_eq!(made.status, Status::Failed);
    assert!(message(&made).contains("limits the rate of requests"), "{}", message(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_takes_too_long_ends_the_export() {
    for step in [Step::Info, Step::Tree, Step::Resolve, Step::Batch, Step::Commit] {
        let started = Instant::now();
        let made = export_with(&[(step, Fault::Answer(Answer::LONG_QUOTA))], usize::MAX).await;
        assert_eq!(made.status, Status::Failed);
        assert!(message(&made).contains("limits the rate of requests"), "{}", message(&made));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_shown_and_ends_when_the_job_is_stopped() {
    let hub = hub().await;
    hub.fail(
        Step::Resolve,
        Fault::Answer(Answer { header: Some(("retry-after", "15")), ..Answer::QUOTA }),
        usize::MAX,
    );
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    let request = CreateExport {
        kind: ArtifactKind::Merged,
        quantizations: Vec::new(),
        destinations: Destinations::new(vec![Destination::Gcs]).unwrap(),
        ..fixtures::request("job-1")
    };
    let id = world.create_for(request).await;
    let started = Instant::now();
    let shown = async {
        loop {
            let export = world.record(id).await;
            if message(&export).ends_with("waiting 15 s for the Hugging Face Hub's quota") {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{}", message(&export));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    world.run(id, "run-1", shown).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(world.record(id).await.status, Status::Running, "left to a retry of the execution");
}
