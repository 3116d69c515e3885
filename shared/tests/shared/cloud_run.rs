//! The Cloud Run launcher with a fake server that has configurable failures.

use std::time::{Duration, Instant};

use gcloud_sdk::tonic::Code;
use shared::{
    adapters::cloud_run::CloudRunJobs,
    config::CloudRunConfig,
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError},
    testing::cloud_run::{FakeCloudRun, RunJobBehavior},
};

fn launcher(endpoint: &str) -> CloudRunJobs {
    CloudRunJobs::new(CloudRunConfig {
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
async fn the_job_is_started_with_the_export_in_its_environment() {
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
    assert_eq!(run.authorization, None, "the fake server receives no credentials");
}

#[tokio::test]
async fn a_slow_response_is_accepted() {
    let server = FakeCloudRun::start().await;
    server.set_behavior(RunJobBehavior::Slow(Duration::from_secs(2)));
    launch(&server).await.unwrap();
}

#[tokio::test]
async fn a_rejected_job_was_not_started() {
    let server = FakeCloudRun::start().await;
    for code in [
        Code::NotFound,
        Code::PermissionDenied,
        Code::InvalidArgument,
        Code::ResourceExhausted,
        Code::Unauthenticated,
    ] {
        server.set_behavior(RunJobBehavior::Status(code));
        let result = launch(&server).await;
        assert!(matches!(result, Err(LaunchError::NotStarted(_))), "{code:?}: {result:?}");
    }
    assert!(server.runs().is_empty());
}

#[tokio::test]
async fn an_ambiguous_failure_is_unknown_and_not_retried() {
    let server = FakeCloudRun::start().await;
    for code in [Code::Unavailable, Code::Internal, Code::DeadlineExceeded, Code::Aborted, Code::Unknown] {
        server.set_behavior(RunJobBehavior::Status(code));
        let result = launch(&server).await;
        assert!(matches!(result, Err(LaunchError::Unknown(_))), "{code:?}: {result:?}");
    }
    server.set_behavior(RunJobBehavior::DropReply);
    let result = launch(&server).await;
    assert!(matches!(result, Err(LaunchError::Unknown(_))), "{result:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.runs().len(), 1, "the job is started once although the response was lost");
}

#[tokio::test]
async fn a_missing_response_is_unknown_after_the_deadline_and_blocks_no_other_launch() {
    let server = FakeCloudRun::start().await;
    server.set_behavior(RunJobBehavior::Hang);
    let hanging = launcher(&server.endpoint());
    let started = tokio::time::Instant::now();
    let (unanswered, other) = tokio::join!(hanging.launch(ExportId::random(), None), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.set_behavior(RunJobBehavior::Ok);
        let started = Instant::now();
        let result = hanging.launch(ExportId::random(), None).await;
        let elapsed = started.elapsed();
        // it passes as fast as it can from now on
        tokio::time::pause();
        (result, elapsed)
    });
    assert!(matches!(unanswered, Err(LaunchError::Unknown(_))), "{unanswered:?}");
    assert!(started.elapsed() < Duration::from_secs(40));
    assert!(other.0.is_ok() && other.1 < Duration::from_secs(5), "{other:?}");
}

#[tokio::test]
async fn a_refused_connection_means_not_started_also_after_an_earlier_connection() {
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

/// Errors are logged with their causes, so they must not contain the token.
#[tokio::test]
async fn errors_do_not_contain_the_token() {
    let server = FakeCloudRun::start().await;
    for behavior in [
        RunJobBehavior::Status(Code::PermissionDenied),
        RunJobBehavior::Status(Code::Internal),
        RunJobBehavior::DropReply,
    ] {
        server.set_behavior(behavior);
        let token = "hf_canary".into();
        let error = launcher(&server.endpoint()).launch(ExportId::random(), Some(&token)).await.unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn an_execution_is_cancelled_by_its_name() {
    let server = FakeCloudRun::start().await;
    let launcher = launcher(&server.endpoint());
    let execution = launcher.launch(ExportId::random(), None).await.unwrap();
    launcher.cancel(&execution).await.unwrap();
    let job = &server.runs()[0].job;
    assert_eq!(server.cancelled(), [format!("{job}/executions/{execution}")]);
    server.set_behavior(RunJobBehavior::Status(Code::FailedPrecondition));
    assert!(launcher.cancel(&execution).await.is_err());
}
