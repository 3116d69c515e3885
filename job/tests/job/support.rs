//! Buckets in a temporary folder and records in memory, for the job's tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use job::{Buckets, Context, Execution, HubSettings, JobMachine, Locations};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    adapters::storage::Storage,
    domain::{ArtifactKind, CallerLimits, CreateExport, Export, ExportId, NewExport, Progress, Quantization},
    ports::{EncryptionKey, Exports},
    service::hub_token,
    testing::{MemoryStore, fixtures},
};

pub(crate) const BASE: &str = "google/gemma-3-micro";

/// Buckets in a temporary folder, and a store in memory.
pub(crate) struct World {
    folder: tempfile::TempDir,
    hub: HubSettings,
    token: Option<&'static str>,
    pub(crate) token_key: Option<Arc<dyn EncryptionKey>>,
    pub(crate) machine: JobMachine,
    pub(crate) store: Arc<MemoryStore>,
}

impl World {
    /// A base model, and a completed training job `job-1` with its adapter.
    pub(crate) fn new() -> Self {
        Self::with_hub("http://127.0.0.1:9", None)
    }

    /// The same, with a Hub, for a caller with `token`.
    pub(crate) fn with_hub(endpoint: &str, token: Option<&'static str>) -> Self {
        let hub = HubSettings {
            stall: Duration::from_secs(12),
            retry_delays: [1, 2, 3].map(Duration::from_millis),
            patience: Duration::from_secs(20),
            ..HubSettings::at(endpoint)
        };
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            folder,
            hub,
            token,
            token_key: None,
            machine: JobMachine { verify_logits: Duration::ZERO, ..JobMachine::default() },
            store: Arc::default(),
        };
        for bucket in ["models", "files", "base-models"] {
            fs::create_dir_all(world.path(bucket)).unwrap();
        }
        copy(&fixture("gemma3-micro/base"), &world.path(&format!("base-models/{BASE}")));
        world.put_adapter("gemma3-micro/adapter");
        world.put_training_job("job-1", json!({}));
        world
    }

    /// The same, with a limit until which the Hub is waited for, instead of a limit for each request.
    pub(crate) fn waiting_until(self, ends_at: Instant) -> Self {
        let hub = HubSettings { ends_at: Some(ends_at), patience: Duration::ZERO, ..self.hub.clone() };
        Self { hub, ..self }
    }

    /// The same, with comparisons of predictions.
    pub(crate) fn verifying_logits(self) -> Self {
        Self { machine: JobMachine::default(), ..self }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(relative)
    }

    pub(crate) fn url(&self, relative: &str) -> String {
        url::Url::from_file_path(self.path(relative)).unwrap().to_string()
    }

    /// Replaces the adapter of `job-1` with a folder of fixtures.
    pub(crate) fn put_adapter(&self, from: &str) {
        fs::remove_dir_all(self.path("models/adapters/job-1")).ok();
        copy(&fixture(from), &self.path("models/adapters/job-1"));
    }

    /// Replaces the base model with one of the fixtures.
    pub(crate) fn put_base(&self, family: &str) {
        let base = self.path(&format!("base-models/{BASE}"));
        fs::remove_dir_all(&base).unwrap();
        copy(&fixture(&format!("families/{family}/base")), &base);
    }

    /// Replaces the adapter of `job-1` with one of the decoder layer `layer`, for a hidden size of 64.
    pub(crate) fn put_small_adapter(&self, layer: &str) {
        let target = format!("{layer}.self_attn.q_proj");
        let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [target]});
        fs::write(self.path("models/adapters/job-1/adapter_config.json"), config.to_string()).unwrap();
        let name = |half| format!("base_model.model.{layer}.self_attn.q_proj.lora_{half}.weight");
        put_tensors(
            &self.path("models/adapters/job-1/adapter_model.safetensors"),
            &[(&name("A"), [2, 64], 0.25), (&name("B"), [64, 2], 0.5)],
        );
    }

    /// Writes the training job's document, with `changes` to it. A null removes the field.
    pub(crate) fn put_training_job(&self, id: &str, changes: Value) {
        let mut document = fixtures::training_job(fixtures::ADA);
        document["job_name"] = json!("merged");
        document["base_model_id"] = json!(BASE);
        document["artifacts"] = json!({"raw": {"adapter": self.url("models/adapters/job-1")}});
        for (field, value) in changes.as_object().unwrap() {
            document[field] = value.clone();
        }
        self.store.put("training_jobs", id, document);
    }

    pub(crate) async fn create(
        &self,
        kind: ArtifactKind,
        quantizations: impl IntoIterator<Item = Quantization>,
    ) -> ExportId {
        let quantizations = quantizations.into_iter().collect();
        self.create_for(CreateExport { kind, quantizations, ..fixtures::request("job-1") }).await
    }

    pub(crate) async fn create_for(&self, request: CreateExport) -> ExportId {
        let id = ExportId::random();
        let user = fixtures::user(fixtures::ADA);
        let new = NewExport { id, user: &user, request: &request, request_hash: None, retention_days: None };
        self.store.create(&Export::new(&new, jiff::Timestamp::now()), CallerLimits::NONE).await.unwrap();
        id
    }

    /// Creates an export and runs it to its end.
    pub(crate) async fn export(&self, kind: ArtifactKind) -> Export {
        let quantizations = (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0).into_iter().collect();
        self.export_of(CreateExport { kind, quantizations, ..fixtures::request("job-1") }).await
    }

    /// Creates an export of that request and runs it to its end.
    pub(crate) async fn export_of(&self, request: CreateExport) -> Export {
        let id = self.create_for(request).await;
        self.run(id, "run-1", std::future::pending()).await;
        self.record(id).await
    }

    /// The same, and the progress that the record has meanwhile.
    pub(crate) async fn progress_of(&self, request: CreateExport) -> (Export, Vec<Progress>) {
        let id = self.create_for(request).await;
        let run = self.run(id, "run-1", std::future::pending());
        let (mut run, mut seen) = (std::pin::pin!(run), Vec::new());
        while tokio::time::timeout(Duration::from_micros(500), &mut run).await.is_err() {
            seen.extend(self.record(id).await.progress);
        }
        (self.record(id).await, seen)
    }

    pub(crate) async fn run(
        &self,
        id: ExportId,
        execution: &str,
        stop: impl Future<Output = ()>,
    ) -> ExitCode {
        let (claim, token) = (fixtures::claim(execution), self.token.map(SecretString::from));
        let hf_token = match (&self.token_key, token) {
            (Some(key), Some(token)) => Some(hub_token::seal(&**key, id, &token).await.unwrap()),
            (_, token) => token,
        };
        job::run(self.context(), Execution { export: id, claim, hf_token }, stop).await
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            training_jobs: self.store.clone(),
            exports: self.store.clone(),
            token_key: self.token_key.clone(),
            locations: self.locations(),
            machine: self.machine,
            progress_interval: Duration::from_millis(1),
        }
    }

    pub(crate) fn locations(&self) -> Locations {
        Locations {
            storage: Storage::folder(self.folder.path()).unwrap(),
            buckets: Buckets { raw: self.url("models"), files: self.url("files") },
            base_models: Some(self.url("base-models")),
            hub: self.hub.clone(),
        }
    }

    pub(crate) async fn record(&self, id: ExportId) -> Export {
        shared::ports::ExportReader::find(self.store.as_ref(), id).await.unwrap().unwrap()
    }

    /// A file of the newest published artifact in `folder` that has one of that name.
    pub(crate) fn made(&self, folder: &str, name: &str) -> PathBuf {
        let newest = published(&self.path(folder))
            .into_iter()
            .filter(|manifest| manifest["files"].as_array().unwrap().iter().any(|f| f["name"] == name))
            .max_by_key(|manifest| manifest["made_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap())
            .unwrap();
        self.path(folder).join(newest["folder"].as_str().unwrap()).join(name)
    }

    /// Every file in a bucket, with its modification time.
    pub(crate) fn files(&self, bucket: &str) -> Vec<(PathBuf, SystemTime)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(bucket)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push((entry.path(), entry.metadata().unwrap().modified().unwrap())),
                }
            }
        }
        found.sort();
        found
    }
}

/// The manifests of a training job's folder.
pub(crate) fn published(folder: &Path) -> Vec<Value> {
    let manifests = fs::read_dir(folder.join("published")).unwrap().map(|entry| entry.unwrap().path());
    manifests
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .collect()
}

/// A folder of the engine's fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures").join(name)
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Writes a safetensors file of `f32` tensors, all of one value.
fn put_tensors(path: &Path, tensors: &[(&str, [usize; 2], f32)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, value) in tensors {
        let begin = data.len();
        data.extend(value.to_le_bytes().repeat(shape[0] * shape[1]));
        let about = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert((*name).to_owned(), about);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), &data].concat()).unwrap();
}

/// Flips a bit of a file, in its data.
pub(crate) fn change(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() - content.len() / 4;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}
