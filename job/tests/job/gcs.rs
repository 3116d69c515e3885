//! Exports over the XML API of Cloud Storage, on the stand-in and on the emulator at STORAGE_EMULATOR_HOST.

use std::{fs, sync::Arc, time::Duration};

use e2e::cloud_storage::CloudStorage;
use futures_util::future::join_all;
use job::{Buckets, Context, Execution, HubSettings, JobMachine, Locations, PROGRESS_INTERVAL, Planner};
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;
use shared::{
    adapters::storage::{Storage, StorageLocation},
    domain::{
        ArtifactKind, CallerLimits, CreateExport, Export, ExportId, FailureCode, NewExport, Quantization,
        Status,
    },
    ports::{ExportPlanner, Exports, TrainingJobs},
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
        Some(Self::at(emulator("STORAGE_EMULATOR_HOST")?).await)
    }

    /// Buckets on the stand-in.
    async fn stand_in() -> (Self, CloudStorage) {
        let storage = CloudStorage::start().await;
        (Self::at(storage.endpoint().to_owned()).await, storage)
    }

    async fn at(emulator: String) -> Self {
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
        cloud
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

    /// The path of an object on the stand-in.
    fn object(&self, path: &str) -> String {
        self.url(path).trim_start_matches("gs://").to_owned()
    }

    async fn read(&self, url: &str) -> Vec<u8> {
        let location = Storage::google(Some(&self.emulator)).location(url).unwrap();
        location.store.get(&location.path).await.unwrap().bytes().await.unwrap().into()
    }

    async fn export(&self, kind: ArtifactKind) -> Export {
        self.export_as(kind, (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0)).await
    }

    fn locations(&self) -> Locations {
        Locations {
            storage: Storage::google(Some(&self.emulator)),
            buckets: Buckets { raw: self.url("models"), files: self.url("files") },
            base_models: Some(self.url("base-models")),
            hub: HubSettings::at("http://127.0.0.1:9"),
        }
    }

    async fn export_as(&self, kind: ArtifactKind, quantization: Option<Quantization>) -> Export {
        let quantizations = quantization.into_iter().collect();
        let request = CreateExport { kind, quantizations, ..fixtures::request("job-1") };
        let machine = JobMachine { verify_logits: Duration::ZERO, ..JobMachine::default() };
        self.export_on(request, machine).await
    }

    async fn export_on(&self, request: CreateExport, machine: JobMachine) -> Export {
        let id = ExportId::random();
        let user = fixtures::user(fixtures::ADA);
        let new = NewExport { id, user: &user, request: &request, request_hash: None, retention_days: None };
        self.store.create(&Export::new(&new, jiff::Timestamp::now()), CallerLimits::NONE).await.unwrap();
        let context = Context {
            training_jobs: self.store.clone(),
            exports: self.store.clone(),
            token_key: None,
            locations: self.locations(),
            machine,
            progress_interval: PROGRESS_INTERVAL,
        };
        let claim = fixtures::claim("run-1");
        let execution = Execution { export: id, claim, hf_token: None };
        job::run(context, execution, std::future::pending()).await;
        shared::ports::ExportReader::find(self.store.as_ref(), id).await.unwrap().unwrap()
    }
}

async fn every_kind_works(cloud: &CloudWorld) {
    for (kind, file) in [
        (ArtifactKind::Adapter, "adapter.zip"),
        (ArtifactKind::Merged, "merged.zip"),
        (ArtifactKind::Gguf, "model.gguf"),
    ] {
        let made = cloud.export(kind).await;
        assert_eq!(made.status, Status::Completed, "{:?}", made.message);
        let path = &made.artifacts.last().unwrap().path;
        assert!(path.starts_with(&cloud.url("files/job-1/")) && path.ends_with(file), "{path}");
        let content = cloud.read(path).await;
        if kind == ArtifactKind::Gguf {
            assert_eq!(sha256(&content), reference());
        }
        let again = cloud.export(kind).await;
        assert_eq!(&again.artifacts.last().unwrap().path, path);
        assert!(again.message.unwrap().contains("Reused"), "{kind:?} was written again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_export_works_over_the_xml_api() {
    every_kind_works(&CloudWorld::stand_in().await.0).await;
    let Some(cloud) = CloudWorld::start().await else { return };
    every_kind_works(&cloud).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_many_parts_is_complete() {
    let (cloud, storage) = CloudWorld::stand_in().await;
    many_parts(&cloud).await;
    let zip = storage.paths().into_iter().find(|path| path.ends_with("adapter.zip")).unwrap();
    assert_eq!(storage.part_sizes(&zip).len(), 3);
    let Some(cloud) = CloudWorld::start().await else { return };
    many_parts(&cloud).await;
}

async fn many_parts(cloud: &CloudWorld) {
    // more than two parts of an upload, in an adapter's folder
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let location = cloud.location("models/adapters/job-1/notes.md");
    location.store.put(&location.path, PutPayload::from(large.clone())).await.unwrap();
    let made = cloud.export(ArtifactKind::Adapter).await;
    assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    let zipped = cloud.read(&made.artifacts[0].path).await;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zipped)).unwrap();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name("notes.md").unwrap(), &mut content).unwrap();
    assert!(content == large);
}

/// Survival with greedy answers, and an importance matrix: they read the weights of base and adapter many times.
#[tokio::test(flavor = "multi_thread")]
async fn weights_that_fit_into_memory_are_read_once() {
    for memory in [4.0, 1.0] {
        let (cloud, storage) = CloudWorld::stand_in().await;
        let text = "the capital of a town is a house by the sea.\n".repeat(120);
        storage.put(&cloud.object("base-models/prompts.txt"), b"hi\na house\n".to_vec());
        storage.put(&cloud.object("base-models/text.txt"), text.into_bytes());
        let request = CreateExport {
            quantizations: vec![Quantization::Q8_0, Quantization::Q4_K_M],
            prompts_uri: Some(cloud.url("base-models/prompts.txt")),
            calibration_uri: Some(cloud.url("base-models/text.txt")),
            ..fixtures::request("job-1")
        };
        let machine = JobMachine { memory, ..JobMachine::default() };
        let export = cloud.export_on(request, machine).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.message);
        for artifact in &export.artifacts {
            let survival = artifact.proof.as_ref().unwrap().survival.as_ref().unwrap();
            assert_eq!(survival.samples.len(), 2, "{survival:?}");
        }
        let is_weights = |path: &String| path.ends_with(".safetensors") || path.ends_with(".gguf");
        let weights: Vec<_> = storage.paths().into_iter().filter(is_weights).collect();
        assert_eq!(weights.len(), 5, "{weights:?}");
        for path in weights {
            let (size, sent) = (storage.read(&path).unwrap().len() as u64, storage.bytes_sent(&path));
            let is_read_once = sent == size;
            assert!(is_read_once == (memory > 1.0), "{path}: {sent} bytes of {size}");
            // answers are written token by token; the exports predict them in one reading
            let readings = if path.ends_with(".gguf") { 2 } else { 20 };
            assert!(is_read_once || sent > readings * size, "{path}: {sent} bytes of {size}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_reads_the_headers_of_weights_only() {
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let (cloud, storage) = CloudWorld::stand_in().await;
        let request = CreateExport { kind, ..fixtures::request("job-1") };
        let user = fixtures::user(fixtures::ADA);
        let new = NewExport {
            id: ExportId::random(),
            user: &user,
            request: &request,
            request_hash: None,
            retention_days: None,
        };
        let export = Export::new(&new, jiff::Timestamp::now());
        let job = TrainingJobs::find(cloud.store.as_ref(), &export.job_id).await.unwrap().unwrap();
        let planner = Planner::new(cloud.locations(), JobMachine::default());
        let before = storage.paths();
        let plan = planner.plan(&export, &job, None).await.unwrap();
        assert!(!plan.files.is_empty());
        assert_eq!(storage.paths(), before, "a plan writes nothing");
        for path in before.iter().filter(|path| path.ends_with(".safetensors")) {
            let (size, sent) = (storage.read(path).unwrap().len() as u64, storage.bytes_sent(path));
            let data = size - header_size(&storage.read(path).unwrap());
            assert!(data > 80_000 && sent < size - data / 2, "{kind:?} {path}: {sent} of {size} bytes");
        }
        let read: u64 = before.iter().map(|path| storage.bytes_sent(path)).sum();
        assert!(read > 0);
    }
}

/// The size of a safetensors file's header.
fn header_size(file: &[u8]) -> u64 {
    8 + u64::from_le_bytes(file[..8].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_exports_at_the_same_time_make_one_artifact() {
    for kind in [ArtifactKind::Merged, ArtifactKind::Gguf] {
        let (cloud, storage) = CloudWorld::stand_in().await;
        let exports = join_all((0..40).map(|_| cloud.export(kind))).await;
        let reused = exports.iter().filter(|made| made.message.as_ref().unwrap().contains("Reused")).count();
        for made in &exports {
            assert_eq!(made.status, Status::Completed, "{:?}", made.message);
            assert_eq!((&made.artifacts, &made.proof), (&exports[0].artifacts, &exports[0].proof));
        }
        assert_eq!(reused, 39, "{kind:?}");
        let paths = storage.paths();
        let made = |end: &str| paths.iter().filter(|path| path.ends_with(end)).count();
        // the raw folder and the zip file each have the report
        let (file, reports, published) =
            if kind == ArtifactKind::Merged { ("merged.zip", 2, 2) } else { ("model.gguf", 0, 1) };
        assert_eq!((made(file), made("export-report.json")), (1, reports), "{paths:?}");
        assert_eq!(
            (made(".maker"), paths.iter().filter(|p| p.contains("published/")).count()),
            (0, published)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_exports_at_the_same_time_do_not_disturb_each_other() {
    let (cloud, _storage) = CloudWorld::stand_in().await;
    let exports = join_all([
        cloud.export_as(ArtifactKind::Gguf, Some(Quantization::Q8_0)),
        cloud.export_as(ArtifactKind::Gguf, Some(Quantization::Q4_K_M)),
        cloud.export_as(ArtifactKind::Merged, None),
        cloud.export_as(ArtifactKind::Adapter, None),
    ])
    .await;
    for made in &exports {
        assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    }
    assert_eq!(sha256(&cloud.read(&exports[0].artifacts[0].path).await), reference());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_overwritten_ends_the_export_by_name() {
    // a small file that is kept in memory is read by one request
    let streaming = JobMachine { memory: 1.0, verify_logits: Duration::ZERO, ..JobMachine::default() };
    let mut failed = 0;
    for reads in 0..12 {
        let (cloud, storage) = CloudWorld::stand_in().await;
        let file = cloud.object("models/adapters/job-1/adapter_model.safetensors");
        let mut other = storage.read(&file).unwrap();
        let end = other.len();
        other[end - 64..].fill(0x11);
        storage.overwrite_after(&file, reads, other);
        let request = CreateExport { kind: ArtifactKind::Merged, ..fixtures::request("job-1") };
        let made = cloud.export_on(request, streaming).await;
        let message = made.message.clone().unwrap();
        if made.status == Status::Completed {
            continue; // the adapter was read in fewer requests
        }
        failed += 1;
        assert!(message.contains("adapter_model.safetensors: it was changed during the export"), "{message}");
        assert_eq!(made.failure.unwrap().code, FailureCode::Interrupted);
        assert!(storage.paths().iter().all(|path| !path.contains("merged_models")), "nothing is left");
    }
    assert!(failed > 3, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_artifact_of_a_dead_maker_is_made_by_the_next_export() {
    let (cloud, storage) = CloudWorld::stand_in().await;
    let first = cloud.export(ArtifactKind::Gguf).await;
    let (manifest, folder) = {
        let path = &first.artifacts[0].path;
        let folder = path.trim_start_matches("gs://").trim_end_matches("/model.gguf").to_owned();
        let manifest = storage.paths().into_iter().find(|path| path.contains("published/")).unwrap();
        (manifest, folder)
    };
    // as if the first export had been killed before it published its files
    storage.delete(&manifest);
    let claim =
        json!({"export_id": first.id.to_string(), "process": null, "folder": folder.rsplit('/').next()});
    let maker = manifest.replace(".json", ".maker");
    storage.put(&maker, claim.to_string().into());

    let second = cloud.export(ArtifactKind::Gguf).await;

    assert_eq!(second.status, Status::Completed, "{:?}", second.message);
    assert_ne!(second.artifacts[0].path, first.artifacts[0].path);
    assert_eq!(sha256(&cloud.read(&second.artifacts[0].path).await), reference());
    let paths = storage.paths();
    assert!(paths.iter().all(|path| !path.starts_with(&folder) && *path != maker), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_written_to_is_named() {
    let (cloud, storage) = CloudWorld::stand_in().await;
    storage.remove_bucket(&cloud.bucket("files"));
    let made = cloud.export(ArtifactKind::Gguf).await;
    let failure = made.failure.unwrap();
    assert!(failure.message.contains(&cloud.url("files/job-1")), "{}", failure.message);
    assert_eq!(failure.code, FailureCode::NotFound);
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
