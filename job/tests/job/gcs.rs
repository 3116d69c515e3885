//! Exports over the XML API of Cloud Storage, on the emulator at STORAGE_EMULATOR_HOST.

use std::{fs, sync::Arc};

use job::{Buckets, Context, Execution, HubSettings, PROGRESS_INTERVAL};
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;
use shared::{
    adapters::storage::{Storage, StorageLocation},
    domain::{ArtifactKind, CreateExport, Export, ExportId, NewExport, Status},
    ports::Exports,
    testing::{MemoryStore, emulator, fixtures},
};

use crate::{
    exports::{reference, sha256},
    support::{BASE, fixture},
};

/// Buckets of one test on the emulator; `None`, with a message, if there is no emulator.
struct CloudWorld {
    emulator: String,
    unique: String,
    store: Arc<MemoryStore>,
}

impl CloudWorld {
    async fn start() -> Option<Self> {
        let emulator = emulator("STORAGE_EMULATOR_HOST")?;
        let unique = ExportId::random().to_string();
        let cloud = Self { emulator, unique, store: Arc::default() };
        for bucket in ["models", "files", "base-models"] {
            let url = format!("{}/{}", cloud.emulator, cloud.bucket(bucket));
            reqwest::Client::new().put(url).send().await.unwrap().error_for_status().unwrap();
        }
        cloud.upload("gemma3-micro/base", &format!("base-models/{BASE}")).await;
        cloud.upload("gemma3-micro/adapter", "models/adapters/job-1").await;
        let mut job = fixtures::training_job(fixtures::ADA);
        job["job_name"] = json!("merged");
        job["base_model_id"] = json!(BASE);
        job["artifacts"] = json!({"raw": {"adapter": cloud.url("models/adapters/job-1")}});
        cloud.store.put("training_jobs", "job-1", job);
        Some(cloud)
    }

    /// Letters and digits only: the emulator does not decode a bucket's name in the URL.
    fn bucket(&self, name: &str) -> String {
        format!("{name}{}", self.unique).replace('-', "")
    }

    /// `models/a/b` is `gs://models<unique>/a/b`.
    fn url(&self, path: &str) -> String {
        let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
        format!("gs://{}/{rest}", self.bucket(bucket)).trim_end_matches('/').to_owned()
    }

    fn location(&self, path: &str) -> StorageLocation {
        Storage::google(Some(&self.emulator)).location(&self.url(path)).unwrap()
    }

    async fn upload(&self, from: &str, to: &str) {
        for entry in fs::read_dir(fixture(from)).unwrap().map(Result::unwrap) {
            let location = self.location(to).join(entry.file_name().to_str().unwrap()).unwrap();
            let content = PutPayload::from(fs::read(entry.path()).unwrap());
            location.store.put(&location.path, content).await.unwrap();
        }
    }

    async fn read(&self, path: &str) -> Vec<u8> {
        let location = self.location(path);
        location.store.get(&location.path).await.unwrap().bytes().await.unwrap().into()
    }

    async fn export(&self, kind: ArtifactKind) -> Export {
        let id = ExportId::random();
        let user = fixtures::user(fixtures::ADA);
        let quantization = (kind == ArtifactKind::Gguf).then_some(shared::domain::Quantization::Q8_0);
        let request = CreateExport { kind, quantization, ..fixtures::request("job-1") };
        let new = NewExport { id, user: &user, request: &request };
        self.store.create(&Export::new(&new, jiff::Timestamp::now())).await.unwrap();
        let context = Context {
            training_jobs: self.store.clone(),
            exports: self.store.clone(),
            storage: Storage::google(Some(&self.emulator)),
            buckets: Buckets { raw: self.url("models"), files: self.url("files") },
            base_models: Some(self.url("base-models")),
            verify_logits: false,
            hub: HubSettings::at("http://127.0.0.1:9"),
            progress_interval: PROGRESS_INTERVAL,
        };
        let claim = fixtures::claim("run-1");
        let execution = Execution { export: id, claim, hf_token: None };
        job::run(context, execution, std::future::pending()).await;
        Exports::find(self.store.as_ref(), id).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_export_works_over_the_xml_api() {
    let Some(cloud) = CloudWorld::start().await else { return };
    for (kind, file) in [
        (ArtifactKind::Adapter, "adapter.zip"),
        (ArtifactKind::Merged, "merged.zip"),
        (ArtifactKind::Gguf, "model.gguf"),
    ] {
        let made = cloud.export(kind).await;
        assert_eq!(made.status, Status::Completed, "{:?}", made.message);
        assert_eq!(made.artifacts.last().unwrap().path, cloud.url(&format!("files/job-1/{file}")));
        let content = cloud.read(&format!("files/job-1/{file}")).await;
        let manifest = cloud.read(&format!("files/job-1/{file}.manifest.json")).await;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["files"][0]["sha256"], json!(sha256(&content)));
        if kind == ArtifactKind::Gguf {
            assert_eq!(sha256(&content), reference());
        }
        let again = cloud.export(kind).await;
        assert!(again.message.unwrap().contains("Reused"), "{kind:?} was written again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_many_parts_is_complete() {
    let Some(cloud) = CloudWorld::start().await else { return };
    // more than two parts of an upload, in an adapter's folder
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let location = cloud.location("models/adapters/job-1/notes.md");
    location.store.put(&location.path, PutPayload::from(large.clone())).await.unwrap();
    let made = cloud.export(ArtifactKind::Adapter).await;
    assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    let zipped = cloud.read("files/job-1/adapter.zip").await;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zipped)).unwrap();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name("notes.md").unwrap(), &mut content).unwrap();
    assert!(content == large);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_fails_the_export_by_name() {
    let Some(mut cloud) = CloudWorld::start().await else { return };
    cloud.unique = "gone".to_owned();
    let made = cloud.export(ArtifactKind::Adapter).await;
    assert_eq!(made.status, Status::Failed);
    let message = made.message.unwrap();
    assert!(message.contains("gs://"), "{message}");
}
