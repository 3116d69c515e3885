//! Tests of `launcher`.

use std::collections::BTreeMap;

use shared::{
    adapters::documents::EXPORTS,
    clock,
    domain::{CallerLimits, Export, Status, Transition},
    ports::{ExportReader as _, Exports as _},
    testing::fixtures,
};

use super::*;

struct LauncherFixture {
    _temp: tempfile::TempDir,
    dir: DataDir,
    store: DocumentStore,
    launcher: SharedLauncher,
    export: Export,
}

/// A launcher whose job is a shell script, and an export to launch.
async fn setup(script: &str) -> LauncherFixture {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = DocumentStore::open(&dir.database()).unwrap();
    let command = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
    let launcher = ProcessLauncher::new(command, "demo-project", dir.clone(), store.clone()).unwrap();
    let export = fixtures::new_export(ExportId::random(), "job-1", clock::now());
    store.create(&export, CallerLimits::NONE).await.unwrap();
    LauncherFixture { _temp: temp, dir, store, launcher: SharedLauncher(launcher), export }
}

impl LauncherFixture {
    async fn ended(&self) -> Export {
        self.launcher.0.count.subscribe().wait_for(|count| *count == 0).await.unwrap();
        self.store.find(self.export.id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_job_gets_the_variables_of_cloud_run_and_not_the_stacks() {
    let setup = setup("env").await;
    let token = SecretString::from("hf_secret");
    let name = setup.launcher.launch(setup.export.id, Some(&token)).await.unwrap();
    setup.ended().await;
    let log = std::fs::read_to_string(setup.dir.export_log(setup.export.id)).unwrap();
    let seen: BTreeMap<_, _> = log.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(seen["EXPORT_ID"], setup.export.id.to_string());
    assert_eq!(seen["PROJECT_ID"], "demo-project");
    assert_eq!(seen["HF_TOKEN"], "hf_secret");
    assert_eq!(seen["CLOUD_RUN_EXECUTION"], name.as_str());
    assert_eq!(seen["CLOUD_RUN_TASK_ATTEMPT"], "0");
    // set by the shell itself
    let shells = ["PWD", "OLDPWD", "SHLVL", "_"];
    let expected = [
        "BASE_MODELS_URI",
        "CLOUD_RUN_EXECUTION",
        "CLOUD_RUN_JOB",
        "CLOUD_RUN_TASK_ATTEMPT",
        "CLOUD_RUN_TASK_INDEX",
        "EXPORT_ID",
        "GCS_EXPORT_BUCKET_NAME",
        "GCS_EXPORT_FILES_BUCKET_NAME",
        "HF_HOME",
        "HF_TOKEN",
        "LOCAL_DATA_DIR",
        "PROJECT_ID",
    ];
    let known = |name: &&&str| !shells.contains(*name) && !PASSED_ON.contains(*name);
    assert_eq!(seen.keys().filter(known).copied().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_export_whose_job_exits_early_fails_with_a_message() {
    for (script, how) in [("exit 3", "exit code 3"), ("kill -9 $$", "killed by SIGKILL")] {
        let setup = setup(script).await;
        setup.launcher.launch(setup.export.id, None).await.unwrap();
        let ended = setup.ended().await;
        let message = ended.message.unwrap();
        assert_eq!(ended.status, Status::Failed);
        assert!(message.contains(how) && message.contains("again"), "{message}");
        let log = format!("See its log, logs/{}.log in the data folder", setup.export.id);
        assert!(message.contains(&log), "{message}");
    }
}

#[tokio::test]
async fn the_message_that_a_job_has_recorded_is_kept() {
    let setup = setup("sleep 0.2; exit 1").await;
    setup.launcher.launch(setup.export.id, None).await.unwrap();
    let own = Transition::Fail { claim: None, failure: fixtures::failure("the adapter is broken") };
    setup.store.apply(setup.export.id, &own).await.unwrap();
    assert_eq!(setup.ended().await.message.unwrap(), "the adapter is broken");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_reported_as_not_started() {
    let mut setup = setup("").await;
    let nowhere = vec![OsString::from("/nowhere")];
    setup.launcher =
        SharedLauncher(ProcessLauncher::new(nowhere, "p", setup.dir.clone(), setup.store.clone()).unwrap());
    let launched = setup.launcher.launch(setup.export.id, None).await;
    assert!(matches!(launched, Err(LaunchError::NotStarted(_))), "{launched:?}");
}

#[tokio::test]
async fn stop_ends_the_jobs_and_their_child_processes() {
    let setup = setup("sleep 1000 & sleep 1000; true").await;
    setup.launcher.launch(setup.export.id, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    timeout(GRACE, setup.launcher.0.stop()).await.unwrap();
    let ended = setup.store.find(setup.export.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.failure), (Status::Failed, Some(recovery::stack_stopped())));
    let late = setup.launcher.launch(setup.export.id, None).await;
    assert!(matches!(late, Err(LaunchError::NotStarted(_))));
}

#[tokio::test]
async fn the_standard_input_of_a_job_stays_open_while_the_stack_runs() {
    let setup = setup("read nothing; exit 7").await;
    setup.launcher.launch(setup.export.id, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(setup.store.find(setup.export.id).await.unwrap().unwrap().status, Status::Running);
    setup.launcher.0.stop().await;
}

#[tokio::test]
async fn recovery_fails_running_exports_and_removes_partial_files() {
    let setup = setup("").await;
    let claimed = fixtures::new_export(ExportId::random(), "job-2", clock::now());
    setup.store.create(&claimed, CallerLimits::NONE).await.unwrap();
    setup.store.apply(claimed.id, &Transition::Claim(fixtures::claim("run-1"))).await.unwrap();
    let old = ExportId::random();
    let lapsed = serde_json::json!({"job_id": "job-3", "type": "gguf", "status": "running",
        "started_at": "2026-01-01T00:00:00Z", "claim": {"by": "run-0", "attempt": 0},
        "lease_until": "2026-01-01T00:05:00Z"});
    setup.store.put_new(EXPORTS, &old.to_string(), &lapsed).await.unwrap();
    let files = setup.dir.bucket(Bucket::Files).join("job-2");
    std::fs::create_dir(&files).unwrap();
    for name in ["model.gguf", "model.gguf#1", "adapter.zip#23", "a#b"] {
        std::fs::write(files.join(name), "x").unwrap();
    }

    assert_eq!(recovery::fail_interrupted_exports(&setup.store, &setup.dir).await.unwrap(), 3);

    for id in [setup.export.id, claimed.id, old] {
        let ended = setup.store.find(id).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.failure), (Status::Failed, Some(recovery::stack_stopped())));
    }
    let mut left: Vec<_> = std::fs::read_dir(files).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a#b", "model.gguf"]);
}
