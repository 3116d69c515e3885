//! RunJob, against a server that fails in every way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use gcloud_sdk::tonic::Code;
use shared::{
    adapters::cloud_run::CloudRunJobs,
    config::Launch,
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError},
    testing::cloud_run::{Behaviour, FakeCloudRun},
};

fn launcher(endpoint: &str) -> CloudRunJobs {
    CloudRunJobs::new(Launch {
        project_id: "demo".to_owned(),
        region: "europe-west1".to_owned(),
        job_name: "export-job".to_owned(),
        endpoint: Some(endpoint.parse().unwrap()),
    })
}

async fn launch(server: &FakeCloudRun) -> Result<ExecutionName, LaunchError> {
    launcher(&server.endpoint()).launch(ExportId::random(), None).await
}

#[tokio::test]
async fn the_job_runs_with_its_export_in_its_environment() {
    let server = FakeCloudRun::start().await;
    let launcher = launcher(&server.endpoint());
    let export = ExportId::random();
    let execution = launcher.launch(export, Some(&"hf_canary".into())).await.unwrap();
    launcher.launch(export, None).await.unwrap();

    let [run, without_token] = &server.runs()[..] else { unreachable!("two runs") };
    assert_eq!(run.job, "projects/demo/locations/europe-west1/jobs/export-job");
    assert_eq!(run.request_params.as_deref(), Some("location=europe-west1"));
    assert_eq!(execution.as_str(), run.execution);
    let id = export.to_string();
    let env: Vec<_> = run.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("EXPORT_ID", id.as_str()), ("HF_TOKEN", "hf_canary"), ("PROJECT_ID", "demo")]);
    assert_eq!(without_token.env.keys().collect::<Vec<_>>(), ["EXPORT_ID", "PROJECT_ID"]);
    assert_eq!(run.authorization, None, "no credentials go to a stand-in");
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let server = FakeCloudRun::start().await;
    server.behave(Behaviour::Slow(Duration::from_secs(2)));
    launch(&server).await.unwrap();
}

#[tokio::test]
async fn what_cloud_run_refuses_was_not_started() {
    let server = FakeCloudRun::start().await;
    for code in [
        Code::NotFound,
        Code::PermissionDenied,
        Code::InvalidArgument,
        Code::ResourceExhausted,
        Code::Unauthenticated,
    ] {
        server.behave(Behaviour::Status(code));
        let result = launch(&server).await;
        assert!(matches!(result, Err(LaunchError::NotStarted(_))), "{code:?}: {result:?}");
    }
    assert!(server.runs().is_empty());
}

#[tokio::test]
async fn what_breaks_off_is_unknown_and_never_sent_again() {
    let server = FakeCloudRun::start().await;
    for code in [Code::Unavailable, Code::Internal, Code::DeadlineExceeded, Code::Aborted, Code::Unknown] {
        server.behave(Behaviour::Status(code));
        let result = launch(&server).await;
        assert!(matches!(result, Err(LaunchError::Unknown(_))), "{code:?}: {result:?}");
    }
    server.behave(Behaviour::DropReply);
    let result = launch(&server).await;
    assert!(matches!(result, Err(LaunchError::Unknown(_))), "{result:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.runs().len(), 1, "the job runs once, although its answer was lost");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unknown_in_time_and_blocks_nobody() {
    let server = FakeCloudRun::start().await;
    server.behave(Behaviour::Hang);
    let hanging = launcher(&server.endpoint());
    let started = Instant::now();
    let (hung, other) = tokio::join!(hanging.launch(ExportId::random(), None), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.behave(Behaviour::Ok);
        let started = Instant::now();
        let result = hanging.launch(ExportId::random(), None).await;
        (result, started.elapsed())
    });
    assert!(matches!(hung, Err(LaunchError::Unknown(_))), "{hung:?}");
    assert!(started.elapsed() < Duration::from_secs(21));
    assert!(other.0.is_ok() && other.1 < Duration::from_secs(5), "{other:?}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_started_also_after_a_connection_was_there() {
    let result = launcher("http://127.0.0.1:1").launch(ExportId::random(), None).await;
    assert!(matches!(result, Err(LaunchError::NotStarted(_))), "{result:?}");

    let server = FakeCloudRun::start().await;
    let launcher = launcher(&server.endpoint());
    launcher.launch(ExportId::random(), None).await.unwrap();
    drop(server);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let result = launcher.launch(ExportId::random(), None).await;
    assert!(matches!(result, Err(LaunchError::NotStarted(_))), "{result:?}");
}

/// The causes are for the log, and the log must not hold the token.
#[tokio::test]
async fn no_error_shows_the_token() {
    let server = FakeCloudRun::start().await;
    for behaviour in
        [Behaviour::Status(Code::PermissionDenied), Behaviour::Status(Code::Internal), Behaviour::DropReply]
    {
        server.behave(behaviour);
        let token = "hf_canary".into();
        let error = launcher(&server.endpoint()).launch(ExportId::random(), Some(&token)).await.unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
