//! Starts the whole service for one test, with a training job and buckets of its own.

mod emulators;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use e2e::hub::{Access, Content, Hub, Repo};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::testing::{cloud_run::FakeCloudRun, encryption::FakeKms, process::BinaryProcess};

use emulators::{Emulators, Names, PROJECT};

/// The base model.
pub(crate) const BASE: &str = "google/gemma-3-micro";
/// The repository that exports are pushed to.
pub(crate) const REPO: &str = "ada/my-gemma";
/// The Hub token of the user. No log, document or response may contain it.
pub(crate) const HF_TOKEN: &str = "hf_canary_8d1f";

/// Where the base model is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BaseLocation {
    Bucket,
    Hub,
}

/// The output of the started jobs.
type JobLogs = Arc<Mutex<Vec<String>>>;

/// The running service, and its user.
pub(crate) struct Service {
    pub(crate) emulators: Emulators,
    pub(crate) hub: Hub,
    pub(crate) cloud_run: FakeCloudRun,
    pub(crate) client: reqwest::Client,
    /// The ID token of the user.
    pub(crate) token: String,
    /// The training job of the user.
    pub(crate) job_id: String,
    pub(crate) create: BinaryProcess,
    get: BinaryProcess,
    pub(crate) cancel: BinaryProcess,
    pub(crate) plan: BinaryProcess,
    list: BinaryProcess,
    health: BinaryProcess,
    job_logs: JobLogs,
    _kms: Option<FakeKms>,
}

impl Service {
    /// Starts everything; `None` without emulators.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None, BaseLocation::Bucket).await
    }

    /// Starts everything, with a key that seals Hub tokens; `None` without emulators.
    pub(crate) async fn with_token_key() -> Option<Self> {
        Self::start_with(Some(FakeKms::start().await), BaseLocation::Bucket).await
    }

    /// Starts everything, with the base model on the Hub, gated, and not in the bucket; `None` without emulators.
    pub(crate) async fn with_gated_base() -> Option<Self> {
        Self::start_with(None, BaseLocation::Hub).await
    }

    async fn start_with(kms: Option<FakeKms>, base: BaseLocation) -> Option<Self> {
        let emulators = Emulators::find()?;
        let names = Names::unique();
        emulators.create_buckets(&names).await;
        if base == BaseLocation::Bucket {
            emulators.upload(&names.bases, &fixture("gemma3-micro/base"), BASE).await;
        }
        emulators.upload(&names.raw, &fixture("gemma3-micro/adapter"), "adapters").await;
        let (uid, token) = emulators.sign_up().await;
        emulators.insert_training_job(&names, &uid, BASE).await;
        let access = Access { user: "ada".to_owned(), write: true, licenses: true };
        let hub = Hub::start([(HF_TOKEN, access)]).await;
        if base == BaseLocation::Hub {
            hub.put(BASE, gated_base());
        }

        let mut common = settings(&emulators, &names, hub.endpoint());
        if let Some(kms) = &kms {
            common.extend([("HF_TOKEN_KEY", FakeKms::KEY.to_owned()), ("KMS_ENDPOINT", kms.endpoint())]);
        }
        let job_logs = JobLogs::default();
        let cloud_run = start_cloud_run(common.clone(), &job_logs).await;
        let health = start_function("health", &common, &[]).await;
        let list = start_function("list", &common, &[]).await;
        let get = start_function("get", &common, &[]).await;
        let (list_url, endpoint) = (list.url(), cloud_run.endpoint());
        let for_create = [
            ("LIST_URL", list_url.as_str()),
            ("CLOUD_RUN_ENDPOINT", endpoint.as_str()),
            ("MAX_RUNNING_EXPORTS", "0"),
        ];
        let create = start_function("create", &common, &for_create).await;
        let cancel = start_function("cancel", &common, &[("CLOUD_RUN_ENDPOINT", endpoint.as_str())]).await;
        let plan = start_function("plan", &common, &[]).await;
        let (client, job_id) = (reqwest::Client::new(), names.job_id);
        Some(Self {
            emulators,
            hub,
            cloud_run,
            client,
            token,
            job_id,
            create,
            get,
            cancel,
            plan,
            list,
            health,
            job_logs,
            _kms: kms,
        })
    }

    /// The functions by name.
    pub(crate) fn functions(&self) -> [(&'static str, &BinaryProcess); 6] {
        [
            ("health", &self.health),
            ("list", &self.list),
            ("get", &self.get),
            ("create", &self.create),
            ("cancel", &self.cancel),
            ("plan", &self.plan),
        ]
    }

    /// The output of all jobs so far.
    pub(crate) fn job_log(&self) -> String {
        self.job_logs.lock().unwrap().join("\n")
    }

    /// The logs of all processes, and all documents, by name.
    pub(crate) async fn logs_and_documents(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<_> = self.functions().map(|(name, function)| (name, function.log())).into();
        all.push(("job", self.job_log()));
        for collection in ["exports", "training_jobs"] {
            all.push((collection, self.emulators.documents(collection).await));
        }
        all
    }

    /// Sends a GET as the user; the JSON of a successful response.
    pub(crate) async fn get(&self, url: String) -> Value {
        let response = self.client.get(&url).bearer_auth(&self.token).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Sends `POST /exports` as the user; status and body of the response.
    pub(crate) async fn post(&self, body: String) -> (u16, String) {
        let url = format!("{}/exports", self.create.url());
        let post = self.client.post(url).bearer_auth(&self.token).header("content-type", "application/json");
        let response = post.body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The plan of an export of that type to both destinations.
    pub(crate) async fn plan(&self, kind: &str) -> Value {
        let url = format!("{}/plans", self.plan.url());
        let post = self.client.post(url).bearer_auth(&self.token).json(&self.body(kind));
        let response = post.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A request for an export of that type to both destinations.
    pub(crate) fn body(&self, kind: &str) -> Value {
        json!({
            "job_id": self.job_id, "export_type": kind, "destination": ["gcs", "hf_hub"],
            "hf_token": HF_TOKEN, "hf_repo_id": REPO,
        })
    }

    /// Starts an export and polls until it ends. Returns the job with the export.
    pub(crate) async fn export(&self, kind: &str) -> Value {
        let (status, started) = self.post(self.body(kind).to_string()).await;
        let started: Value = serde_json::from_str(&started).unwrap();
        assert!(status == 200 && started["success"] == true, "{status} {started}");
        let url = format!("{}/exports/{}", self.get.url(), self.job_id);
        let mut detail = self.get(url.clone()).await;
        assert_eq!(
            detail["latest_export"]["export_id"], started["export_id"],
            "the record exists immediately"
        );
        for _ in 0..240 {
            if detail["latest_export"]["status"] != "running" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            detail = self.get(url.clone()).await;
        }
        detail
    }

    /// The bytes of an object. The storage emulator does not verify signatures, but requires a token; it accepts any.
    pub(crate) async fn download(&self, url: &str) -> Vec<u8> {
        let response = self.client.get(url).bearer_auth("any").send().await.unwrap();
        response.error_for_status().unwrap().bytes().await.unwrap().into()
    }
}

fn gated_base() -> Repo {
    let entries = fs::read_dir(fixture("gemma3-micro/base")).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| {
        let content = Content::regular(fs::read(entry.path()).unwrap());
        (entry.file_name().into_string().unwrap(), content)
    });
    Repo { gated: true, commits: 1, files: files.collect(), ..Repo::default() }
}

/// The settings that functions and job share.
fn settings(emulators: &Emulators, names: &Names, hub: &str) -> Vec<(&'static str, String)> {
    let hf_home = std::env::temp_dir().join(format!("hub-{}", names.job_id));
    vec![
        ("PROJECT_ID", PROJECT.to_owned()),
        ("FIRESTORE_EMULATOR_HOST", emulators.firestore.clone()),
        ("FIREBASE_AUTH_EMULATOR_HOST", emulators.auth.clone()),
        ("STORAGE_EMULATOR_HOST", emulators.storage.clone()),
        ("GCS_EXPORT_BUCKET_NAME", names.raw.clone()),
        ("GCS_EXPORT_FILES_BUCKET_NAME", names.files.clone()),
        ("BASE_MODELS_URI", format!("gs://{}", names.bases)),
        ("HF_ENDPOINT", hub.to_owned()),
        ("HF_HOME", hf_home.to_str().unwrap().to_owned()),
        ("RUST_LOG", "debug".to_owned()),
    ]
}

async fn start_function(
    name: &str,
    common: &[(&'static str, String)],
    more: &[(&'static str, &str)],
) -> BinaryProcess {
    let mut variables: Vec<_> = common.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend_from_slice(more);
    BinaryProcess::listening(&binary(name), &variables).await
}

/// A RunJob server that starts the binary of the job, as Cloud Run does.
async fn start_cloud_run(settings: Vec<(&'static str, String)>, logs: &JobLogs) -> FakeCloudRun {
    let (job, logs) = (binary("export-job"), Arc::clone(logs));
    FakeCloudRun::with_action(move |run| {
        let mut command = tokio::process::Command::new(&job);
        command.env_clear().envs(settings.clone()).envs(&run.env).env("CLOUD_RUN_EXECUTION", &run.execution);
        let logs = Arc::clone(&logs);
        tokio::spawn(async move {
            let output = command.output().await.unwrap();
            let text = [output.stdout, output.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .concat();
            logs.lock().unwrap().push(format!("{}\n{text}", output.status));
        });
    })
    .await
}

fn binary(name: &str) -> String {
    let target = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let folder = std::env::var_os("SERVICE_BINARIES").map_or(target, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: build the workspace first", path.display());
    fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

/// A path in the fixtures of the engine.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures").join(name)
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
