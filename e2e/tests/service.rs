//! The whole service, as deployed: the four functions' binaries and the job's, against the emulators of Firestore,
//! Firebase Auth and Cloud Storage, a RunJob server that really starts the job, and a Hub with a real Xet store.
//! `make test-emulators` starts the emulators. `SERVICE_BINARIES` names another folder of binaries: there, the
//! release binaries in `target/package`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::hub::{Access, Fault, Hub, Step};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::testing::{cloud_run::FakeCloudRun, emulator, process::BinaryProcess};

/// The project that the Auth emulator issues tokens for.
const PROJECT: &str = "demo-export";
const BASE: &str = "google/gemma-3-micro";
const REPO: &str = "ada/my-gemma";
/// No log, document or answer may hold it.
const HF_TOKEN: &str = "hf_canary_8d1f";

struct Emulators {
    firestore: String,
    auth: String,
    storage: String,
}

impl Emulators {
    fn find() -> Option<Self> {
        Some(Self {
            firestore: emulator("FIRESTORE_EMULATOR_HOST")?,
            auth: emulator("FIREBASE_AUTH_EMULATOR_HOST")?,
            storage: emulator("STORAGE_EMULATOR_HOST")?,
        })
    }
}

/// Names of this run alone, so that emulators can be shared.
struct Names {
    job_id: String,
    raw: String,
    files: String,
    bases: String,
}

fn binary(name: &str) -> String {
    let beside = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let folder = std::env::var_os("SERVICE_BINARIES").map_or(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: build the workspace first", path.display());
    fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures").join(name)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn upload(storage: &str, bucket: &str, folder: &Path, to: &str) {
    let client = reqwest::Client::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let url = format!("{storage}/{bucket}/{to}/{}", entry.file_name().to_str().unwrap());
        let sent = client.put(url).body(fs::read(entry.path()).unwrap()).send().await.unwrap();
        sent.error_for_status().unwrap();
    }
}

/// A user of the Auth emulator: uid and ID token.
async fn sign_up(auth: &str) -> (String, String) {
    let url = format!("http://{auth}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any");
    let answer =
        reqwest::Client::new().post(url).json(&json!({"returnSecureToken": true})).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    (answer["localId"].as_str().unwrap().to_owned(), answer["idToken"].as_str().unwrap().to_owned())
}

fn documents(firestore: &str, collection: &str) -> String {
    format!("http://{firestore}/v1/projects/{PROJECT}/databases/(default)/documents/{collection}")
}

/// Writes the training job as the Training Service does.
async fn train(emulators: &Emulators, names: &Names, owner: &str) {
    let text = |value: &str| json!({ "stringValue": value });
    let adapter = text(&format!("gs://{}/adapters", names.raw));
    let raw = json!({"mapValue": {"fields": {"adapter": adapter}}});
    let fields = json!({
        "user_id": text(owner), "status": text("completed"), "job_name": text("merged"), "base_model_id": text(BASE),
        "artifacts": {"mapValue": {"fields": {"raw": raw}}},
        "a_field_of_theirs": text("kept"),
    });
    let url = format!("{}?documentId={}", documents(&emulators.firestore, "training_jobs"), names.job_id);
    let client = reqwest::Client::new().post(url).bearer_auth("owner").json(&json!({ "fields": fields }));
    client.send().await.unwrap().error_for_status().unwrap();
}

/// What the launched jobs said, and the environment each override brought.
type JobLogs = Arc<Mutex<Vec<String>>>;

/// A RunJob server that starts the job's binary as Cloud Run would.
async fn cloud_run(settings: Vec<(String, String)>, logs: &JobLogs) -> FakeCloudRun {
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

/// The user, at the functions.
struct Caller<'a> {
    client: reqwest::Client,
    token: &'a str,
    create: &'a BinaryProcess,
    get: &'a BinaryProcess,
    job_id: &'a str,
}

impl Caller<'_> {
    async fn get(&self, url: String) -> Value {
        let answer = self.client.get(&url).bearer_auth(self.token).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn post(&self, body: String) -> (u16, String) {
        let url = format!("{}/exports", self.create.url());
        let post = self.client.post(url).bearer_auth(self.token).header("content-type", "application/json");
        let answer = post.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn body(&self, kind: &str) -> Value {
        json!({
            "job_id": self.job_id, "export_type": kind, "destination": ["gcs", "hf_hub"],
            "hf_token": HF_TOKEN, "hf_repo_id": REPO,
        })
    }

    /// Exports, and polls to the end as a page does.
    async fn export(&self, kind: &str) -> Value {
        let (status, answer) = self.post(self.body(kind).to_string()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(status == 200 && answer["success"] == true, "{status} {answer}");
        let url = format!("{}/exports/{}", self.get.url(), self.job_id);
        let mut detail = self.get(url.clone()).await;
        assert_eq!(detail["latest_export"]["export_id"], answer["export_id"], "the record is there at once");
        for _ in 0..240 {
            if detail["latest_export"]["status"] != "running" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            detail = self.get(url.clone()).await;
        }
        detail
    }
}

/// An object's bytes. The stand-in knows no signatures: it gives objects to whoever has a token, any token.
async fn object(client: &reqwest::Client, url: &str) -> Vec<u8> {
    let answer = client.get(url).bearer_auth("any").send().await.unwrap().error_for_status().unwrap();
    answer.bytes().await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_goes_from_training_to_the_bucket_and_the_hub() {
    let Some(emulators) = Emulators::find() else { return };
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let names = Names {
        job_id: format!("job-{unique}"),
        raw: format!("models{unique}"),
        files: format!("files{unique}"),
        bases: format!("bases{unique}"),
    };
    let client = reqwest::Client::new();
    for bucket in [&names.raw, &names.files, &names.bases] {
        client
            .put(format!("{}/{bucket}", emulators.storage))
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap();
    }
    upload(&emulators.storage, &names.bases, &fixture("gemma3-micro/base"), BASE).await;
    upload(&emulators.storage, &names.raw, &fixture("gemma3-micro/adapter"), "adapters").await;
    let (uid, token) = sign_up(&emulators.auth).await;
    train(&emulators, &names, &uid).await;
    let access = Access { user: "ada".to_owned(), write: true, licences: true };
    let hub = Hub::start([(HF_TOKEN, access)]).await;

    let common = [
        ("PROJECT_ID", PROJECT.to_owned()),
        ("FIRESTORE_EMULATOR_HOST", emulators.firestore.clone()),
        ("FIREBASE_AUTH_EMULATOR_HOST", emulators.auth.clone()),
        ("STORAGE_EMULATOR_HOST", emulators.storage.clone()),
        ("GCS_EXPORT_BUCKET_NAME", names.raw.clone()),
        ("GCS_EXPORT_FILES_BUCKET_NAME", names.files.clone()),
        ("BASE_MODELS_URI", format!("gs://{}", names.bases)),
        ("HF_ENDPOINT", hub.endpoint().to_owned()),
        ("HF_HOME", std::env::temp_dir().join(format!("hub-{unique}")).to_str().unwrap().to_owned()),
        ("RUST_LOG", "debug".to_owned()),
    ];
    let job_logs = JobLogs::default();
    let job_settings: Vec<_> =
        common.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let cloud_run = cloud_run(job_settings, &job_logs).await;
    let base: Vec<(&str, &str)> = common.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let health = BinaryProcess::listening(&binary("health"), &base).await;
    let list = BinaryProcess::listening(&binary("list"), &base).await;
    let get_function = BinaryProcess::listening(&binary("get"), &base).await;
    let (list_url, endpoint) = (list.url(), cloud_run.endpoint());
    let mut for_create = base.clone();
    for_create.extend([("LIST_URL", list_url.as_str()), ("CLOUD_RUN_ENDPOINT", endpoint.as_str())]);
    let create = BinaryProcess::listening(&binary("create"), &for_create).await;

    // what the platform's probes ask every function
    for function in [&health, &list, &get_function, &create] {
        let answer = client.get(format!("{}/health", function.url())).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer, json!({"status": "healthy", "service": "export"}));
    }
    // Hosting's rewrites name `create` for this path, whatever the method.
    let caller = Caller {
        client: client.clone(),
        token: &token,
        create: &create,
        get: &get_function,
        job_id: &names.job_id,
    };
    let jobs = caller.get(format!("{}/exports", create.url())).await;
    assert_eq!(jobs.as_array().unwrap().len(), 1);
    assert_eq!(jobs[0]["job_id"], json!(names.job_id));

    for kind in ["adapter", "merged", "gguf"] {
        let detail = caller.export(kind).await;
        let export = &detail["latest_export"];
        assert_eq!(export["status"], "completed", "{export}\n{}", job_logs.lock().unwrap().join("\n"));
        assert_eq!(detail["artifacts"]["hf"][kind], json!(REPO));

        // The link that the caller gets leads to the bytes that the manifest vouches for.
        let link = detail["artifacts"]["file"][kind].as_str().unwrap();
        let content = object(&client, link).await;
        let file = export["artifacts"].as_array().unwrap().iter().find(|a| a["variant"] == "file").unwrap();
        let path = file["path"].as_str().unwrap().strip_prefix("gs://").unwrap();
        let manifest = format!("{}/{path}.manifest.json", emulators.storage);
        let manifest: Value = serde_json::from_slice(&object(&client, &manifest).await).unwrap();
        assert_eq!(manifest["files"][0]["sha256"], json!(sha256(&content)), "{kind}");
        if kind == "gguf" {
            let expected: Value =
                serde_json::from_slice(&fs::read(fixture("gemma3-micro/expected.json")).unwrap()).unwrap();
            assert_eq!(json!(sha256(&content)), expected["gguf"]["q8_0"]["sha256"], "llama.cpp's own bytes");
            assert_eq!(hub.repo(REPO).unwrap().files["model.gguf"].bytes, content);
        }
    }
    assert_eq!(hub.repo(REPO).unwrap().commits, 3);
    assert!(hub.repo(REPO).unwrap().private);

    // What is refused must not come back with the token in it, nor what fails at the Hub.
    let (mut no_repo, mut no_kind) = (caller.body("gguf"), caller.body(HF_TOKEN));
    no_repo["hf_repo_id"] = json!(format!("{HF_TOKEN}/a/b"));
    no_kind["quantization"] = json!(HF_TOKEN);
    let whole = caller.body("gguf").to_string();
    for body in [no_repo.to_string(), no_kind.to_string(), whole[..whole.len() - 1].to_owned()] {
        let (status, answer) = caller.post(body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(!answer.contains(HF_TOKEN), "{answer}");
    }
    hub.fail(Step::Commit, Fault::Status(401), usize::MAX);
    let failed = caller.export("adapter").await;
    assert_eq!(failed["latest_export"]["status"], "failed", "{failed}");
    let message = failed["latest_export"]["message"].as_str().unwrap();
    assert!(message.contains(REPO) && !failed.to_string().contains(HF_TOKEN), "{failed}");

    let runs = cloud_run.runs();
    let mut overrides = BTreeMap::new();
    for run in &runs {
        assert_eq!(run.request_params.as_deref(), Some("location=us-central1"));
        overrides.extend(
            run.env.iter().filter(|(name, _)| *name != "HF_TOKEN").map(|(n, v)| (n.clone(), v.clone())),
        );
    }
    assert_eq!(overrides.keys().map(String::as_str).collect::<Vec<_>>(), ["EXPORT_ID", "PROJECT_ID"]);
    assert!(!format!("{overrides:?}").contains(HF_TOKEN));

    let mut said = vec![
        ("health", health.log()),
        ("list", list.log()),
        ("get", get_function.log()),
        ("create", create.log()),
    ];
    said.push(("job", job_logs.lock().unwrap().join("\n")));
    for collection in ["exports", "training_jobs"] {
        let all = client
            .get(documents(&emulators.firestore, collection))
            .bearer_auth("owner")
            .send()
            .await
            .unwrap();
        said.push((collection, all.text().await.unwrap()));
    }
    for (who, text) in said {
        assert!(!text.is_empty(), "{who} said nothing");
        assert!(!text.contains(HF_TOKEN), "{who} holds the token");
        assert!(!text.contains(&token), "{who} holds the ID token");
    }
}
