//! Base models from the Hub and exports to it, against a test server with a real Xet store.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use e2e::hub::{Access, Content, Fault, Hub, Repo, Step};
use futures_util::future::join_all;
use job::Execution;
use serde_json::json;
use shared::{
    adapters::aes_key::{AesKey, KEY_LEN},
    domain::{
        ArtifactKind, CreateExport, Destination, Destinations, Export, ExportId, GgufKind, Quantization,
        Status, Variant,
    },
    service::hub_token,
    testing::fixtures,
};

use crate::{
    hub_inputs::name_base,
    support::{self, BASE, World, fixture},
};

/// Has write access, and has accepted the licenses.
pub(crate) const WRITER: &str = "hf_canary_of_the_writer";
/// Has write access, and has accepted no license.
pub(crate) const WITHOUT_LICENSES: &str = "hf_canary_without_licenses";
/// Has read access to public models.
pub(crate) const READER: &str = "hf_canary_of_the_reader";
pub(crate) const REPO: &str = "ada/my-gemma";

pub(crate) async fn hub() -> Hub {
    let access = |write, licenses| Access { user: "ada".to_owned(), write, licenses };
    let tokens = [
        (WRITER, access(true, true)),
        (WITHOUT_LICENSES, access(true, false)),
        (READER, access(false, false)),
    ];
    let hub = Hub::start(tokens).await;
    hub.put(BASE, Repo { gated: true, commits: 3, files: files("gemma3-micro/base"), ..Repo::default() });
    hub
}

pub(crate) fn files(folder: &str) -> BTreeMap<String, Content> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(fixture(folder)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = self::files(&format!("{folder}/{name}"));
            files.extend(below.into_iter().map(|(file, content)| (format!("{name}/{file}"), content)));
        } else {
            files.insert(name, Content::regular(fs::read(entry.path()).unwrap()));
        }
    }
    files
}

pub(crate) async fn export(world: &World, kind: ArtifactKind, to: &[Destination]) -> Export {
    let made = world
        .export_of(CreateExport {
            kind,
            quantizations: (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0).into_iter().collect(),
            destinations: Destinations::new(to.to_vec()).unwrap(),
            hf_repo: to.contains(&Destination::HfHub).then(|| REPO.parse().unwrap()),
            ..fixtures::request("job-1")
        })
        .await;
    for (_, document) in world.store.documents("exports") {
        assert!(!document.to_string().contains("canary"), "a record holds the token");
    }
    made
}

fn folder_of(file: PathBuf) -> PathBuf {
    file.parent().unwrap().to_owned()
}

pub(crate) fn message(export: &Export) -> &str {
    export.message.as_deref().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_model_is_read_from_the_hub_when_the_bucket_has_none() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    let made = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert_eq!(crate::exports::sha256_of(&world, "model.gguf"), crate::exports::reference());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mmproj_file_of_a_multimodal_model_is_pushed_with_its_gguf() {
    let hub = hub().await;
    hub.put(BASE, Repo { files: files("families/gemma3-vision/base"), ..Repo::default() });
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    world.put_small_adapter("language_model.model.layers.0");
    let made = export(&world, ArtifactKind::Gguf, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let pushed = hub.repo(REPO).unwrap();
    for name in ["model.gguf", "mmproj-model.gguf"] {
        assert!(pushed.files.contains_key(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modules_of_an_embedding_model_are_read_from_the_hub_and_pushed() {
    let hub = hub().await;
    hub.put(BASE, Repo { files: files("families/gemma-embedding/base"), ..Repo::default() });
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    world.put_small_adapter("layers.0");
    let made = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let (pushed, base) = (hub.repo(REPO).unwrap(), hub.repo(BASE).unwrap());
    for name in ["modules.json", "1_Pooling/config.json", "3_Dense/model.safetensors"] {
        assert_eq!(pushed.files[name].sha256(), base.files[name].sha256(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_4_bit_base_model_is_dequantized_when_it_has_no_16_bit_sibling() {
    let hub = hub().await;
    hub.put("ada/micro-bnb-4bit", Repo { files: files("gemma3-4bit/base"), ..Repo::default() });
    let world = World::with_hub(hub.endpoint(), Some(READER));
    world.put_adapter("adapters/4bit/adapter");
    world.put_training_job("job-1", json!({"base_model_id": "ada/micro-bnb-4bit"}));
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let config = fs::read_to_string(world.made("models/merged_models/job-1", "config.json")).unwrap();
    assert!(config.contains("Gemma3ForCausalLM") && !config.contains("quantization_config"), "{config}");

    hub.put("ada/micro", Repo { files: files("gemma3-micro/base"), ..Repo::default() });
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert!(message(&made).contains("but model."), "the sibling has other shapes: {}", message(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gated_base_model_names_the_license_to_accept() {
    let hub = hub().await;
    for token in [None, Some(READER)] {
        let world = World::with_hub(hub.endpoint(), token);
        fs::remove_dir_all(world.path("base-models/google")).unwrap();
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert_eq!(made.status, Status::Failed);
        assert!(message(&made).contains(&format!("accept the license of {BASE}")), "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_one_commit_with_every_file_and_a_card() {
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let hub = hub().await;
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        name_base(&world, &json!(BASE));
        let made = export(&world, kind, &[Destination::Gcs, Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));

        let repo = hub.repo(REPO).unwrap();
        assert!(repo.private && repo.commits == 1);
        let card = String::from_utf8(repo.files["README.md"].bytes.clone()).unwrap();
        assert!(card.contains(&format!("base_model: {BASE}\n")) && card.contains("license: gemma"), "{card}");
        let folder = match kind {
            ArtifactKind::Adapter => world.path("models/adapters/job-1"),
            ArtifactKind::Merged => folder_of(world.made("models/merged_models/job-1", "config.json")),
            ArtifactKind::Gguf => folder_of(world.made("files/job-1", "model.gguf")),
        };
        let mut sent = 0;
        for (name, content) in repo.files.iter().filter(|(name, _)| *name != "README.md") {
            assert!(content.bytes == fs::read(folder.join(name)).unwrap(), "{name}");
            let large = content.bytes.len() as u64 > e2e::hub::LARGEST_REGULAR;
            assert_eq!(content.xet.is_some(), large, "{name} goes through Xet when it is large");
            assert!(card.contains(name.as_str()));
            sent += 1;
        }
        assert_eq!(sent, fs::read_dir(folder).unwrap().count(), "{kind:?}");
        let hf = made.artifacts.iter().find(|artifact| artifact.variant == Variant::Hf).unwrap();
        assert_eq!(hf.path, REPO);
        let job = world.store.document("training_jobs", "job-1").unwrap();
        assert_eq!(job["artifacts"]["hf"][kind.as_str()], serde_json::json!(REPO));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_token_is_opened_by_the_job_of_its_export() {
    let hub = hub().await;
    let mut world = World::with_hub(hub.endpoint(), Some(WRITER));
    world.token_key = Some(Arc::new(AesKey::new(&[1; KEY_LEN]).unwrap()));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));

    // the token of one export in the execution of another
    let (one, other) = (ExportId::random(), world.create(ArtifactKind::Adapter, None).await);
    let sealed = hub_token::seal(&**world.token_key.as_ref().unwrap(), one, &WRITER.into()).await.unwrap();
    for key in [world.token_key.clone(), None] {
        let execution =
            Execution { export: other, claim: fixtures::claim("run-1"), hf_token: Some(sealed.clone()) };
        job::run(job::Context { token_key: key, ..world.context() }, execution, std::future::pending()).await;
        let failed = world.record(other).await;
        assert_eq!(failed.status, Status::Failed);
        assert!(message(&failed).contains("could not read the Hub token"), "{}", message(&failed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_repository_is_refused_when_a_private_one_was_asked_for() {
    let hub = hub().await;
    hub.put(REPO, Repo { private: false, commits: 1, ..Repo::default() });
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Failed);
    assert!(message(&made).contains("is public"), "{}", message(&made));
    assert_eq!(hub.repo(REPO).unwrap().commits, 1, "nothing was pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_write_access_is_named_as_the_reason() {
    let hub = hub().await;
    for (token, expected) in [(READER, "write access"), ("hf_canary_of_nobody", "rejected hf_token")] {
        let world = World::with_hub(hub.endpoint(), Some(token));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Failed);
        assert!(message(&made).contains(expected), "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_is_recorded_and_written_files_are_kept() {
    let faults = [
        (Step::Create, Fault::Status(500)),
        (Step::Create, Fault::Status(401)),
        (Step::Preupload, Fault::Status(403)),
        (Step::Batch, Fault::Status(429)),
        (Step::WriteToken, Fault::Status(500)),
        (Step::WriteToken, Fault::DeadStore),
        (Step::Commit, Fault::Status(409)),
        (Step::Commit, Fault::Status(503)),
        (Step::Commit, Fault::LosesFile),
        (Step::Preupload, Fault::Slow(Duration::from_secs(30))),
    ];
    join_all(faults.map(|(step, fault)| async move {
        let hub = hub().await;
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        hub.fail(step, fault, usize::MAX);
        let made = export(&world, ArtifactKind::Gguf, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Failed, "{step:?} {fault:?}");
        assert!(
            made.artifacts.is_empty() && message(&made).contains(REPO),
            "{step:?} {fault:?}: {}",
            message(&made)
        );
        hub.fail(step, fault, 0);
        let before = world.files("files");
        let made = export(&world, ArtifactKind::Gguf, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{step:?} {fault:?}: {}", message(&made));
        assert_eq!(world.files("files"), before, "{step:?} {fault:?}: the file was written once");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_never_goes_inside_a_commit() {
    let hub = hub().await;
    hub.fail(Step::Batch, Fault::NoXet, usize::MAX);
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::write(world.path("models/adapters/job-1/tokenizer.json"), vec![7; 11 << 20]).unwrap();
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Failed);
    assert!(message(&made).contains("Xet"), "{}", message(&made));
    assert_eq!(hub.repo(REPO).unwrap().commits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_is_read_at_the_revision_of_the_adapter() {
    let hub = hub().await;
    let mut other = files("gemma3-micro/base");
    let shard = other.get_mut("model-00002-of-00002.safetensors").unwrap();
    let end = shard.bytes.len();
    shard.bytes[end - 512..].fill(0x3c);
    let revisions = BTreeMap::from([("v2".to_owned(), other)]);
    hub.put(BASE, Repo { files: files("gemma3-micro/base"), revisions, commits: 4, ..Repo::default() });
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let report = || fs::read(world.made("models/merged_models/job-1", "export-report.json")).unwrap();
    let revision = || {
        let report: serde_json::Value = serde_json::from_slice(&report()).unwrap();
        report["inputs"]["base_revision"].clone()
    };
    let merged =
        || fs::read(world.made("models/merged_models/job-1", "model-00002-of-00002.safetensors")).unwrap();
    set_revision(&world, json!("v2"));
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert_eq!(revision(), json!(Repo::commit_of("v2")));
    let of_v2 = merged();

    for main in [json!(null), json!("main")] {
        set_revision(&world, main);
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        assert!(merged() != of_v2 && revision().is_null(), "the bucket's copy of the main branch");
    }
    set_revision(&world, json!("v3"));
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Failed);
    assert!(message(&made).contains("no such revision"), "{}", message(&made));

    // nor is a folder without a model
    let folder = world.path(&format!("base-models/{BASE}@v3"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert!(
        message(&made).contains("@v3 among the base models has config.json, but no weights"),
        "{}",
        message(&made)
    );

    // nor is an earlier merge taken for it
    let gguf = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    assert!(message(&gguf).contains("no such revision"), "{}", message(&gguf));

    // the training job's name of the base has that revision, too, whatever the adapter calls it
    let path = world.path("models/adapters/job-1/adapter_config.json");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace(BASE, "/content/gemma")).unwrap();
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert!(message(&made).contains("no such revision"), "{}", message(&made));
    fs::write(&path, config).unwrap();

    // nor is the folder of somebody else
    support::copy(&fixture("gemma3-micro/base"), &world.path("models/secret"));
    for outside in ["v/../../../models/secret", "v/../gemma-3-micro", "v//3", "v?#%"] {
        set_revision(&world, json!(outside));
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert!(message(&made).contains("no such revision"), "{outside}: {}", message(&made));
    }
    set_revision(&world, json!("v3"));

    // a copy of that revision in the bucket
    support::copy(&fixture("gemma3-micro/base"), &world.path(&format!("base-models/{BASE}@v3")));
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
}

fn set_revision(world: &World, revision: serde_json::Value) {
    let path = world.path("models/adapters/job-1/adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["revision"] = revision;
    config["base_model_name_or_path"] = json!(BASE);
    fs::write(path, config.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_replaces_what_a_loader_would_use_instead() {
    let stale: [(&str, &[&str]); 5] = [
        ("single file", &["model.safetensors"]),
        ("other shards", &["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"]),
        ("pickle and template", &["pytorch_model.bin", "chat_template.jinja", "adapter_model.bin"]),
        (
            "other loaders",
            &["tf_model.h5", "flax_model.msgpack", "consolidated.safetensors", "model.fp16.safetensors"],
        ),
        ("an index of pickles", &["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"]),
    ];
    for (name, stale) in stale {
        let hub = hub().await;
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let owners = BTreeMap::from([("notes.txt".to_owned(), Content::regular("mine"))]);
        hub.put(REPO, Repo { private: true, commits: 1, files: owners, ..Repo::default() });
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        let mut repo = hub.repo(REPO).unwrap();
        repo.files.extend(stale.iter().map(|name| ((*name).to_owned(), Content::regular("stale"))));
        hub.put(REPO, repo);

        let made = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;

        assert_eq!(made.status, Status::Completed, "{name}: {}", message(&made));
        let repo = hub.repo(REPO).unwrap();
        for gone in stale.iter().chain(&["adapter_config.json", "adapter_model.safetensors"]) {
            assert!(!repo.files.contains_key(*gone), "{name}: {gone}");
        }
        assert!(
            repo.files.contains_key("model.safetensors.index.json") && repo.files.contains_key("notes.txt")
        );
        assert_eq!(repo.commits, 3, "one commit an export");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mmproj_file_is_not_left_beside_the_gguf_file_of_another_model() {
    let hub = hub().await;
    let multimodal = World::with_hub(hub.endpoint(), Some(WRITER));
    multimodal.put_base("gemma3-vision");
    multimodal.put_small_adapter("language_model.model.layers.0");
    let made = export(&multimodal, ArtifactKind::Gguf, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert!(hub.repo(REPO).unwrap().files.contains_key("mmproj-model.gguf"));

    let text_only = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&text_only, ArtifactKind::Gguf, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let mut repo = hub.repo(REPO).unwrap();
    let card = String::from_utf8(repo.files["README.md"].bytes.clone()).unwrap();
    assert!(!repo.files.contains_key("mmproj-model.gguf") && !card.contains("mmproj"), "{card}");

    repo.files.insert("mmproj-F16.gguf".to_owned(), Content::regular("of the owner"));
    hub.put(REPO, repo.clone());
    let made = export(&text_only, ArtifactKind::Gguf, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Failed);
    assert!(
        message(&made).contains("mmproj-F16.gguf, which llama.cpp would load with model.gguf"),
        "{}",
        message(&made)
    );
    assert_eq!(hub.repo(REPO).unwrap(), repo, "nothing was pushed");

    let other = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&other, ArtifactKind::Gguf, &[Destination::HfHub]).await;
    assert!(message(&made).contains("mmproj-F16.gguf"), "{}", message(&made));
    assert_eq!(other.files("files"), [], "before any work");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_not_pushed_beside_a_full_model() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::Gcs, Destination::HfHub]).await;
    assert_eq!(made.status, Status::Failed);
    assert!(message(&made).contains("has the weights of a full model"), "{}", message(&made));
    assert_eq!((hub.repo(REPO).unwrap().commits, world.files("files")), (1, Vec::new()), "before any work");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_keeps_the_owners_text_and_lists_every_gguf_file() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let (fields, text) = ("---\nlicense: mit\n", "---\n\nHow I trained it.\n");
    let owners = format!("{fields}{text}");
    let readme = BTreeMap::from([("README.md".to_owned(), Content::regular(owners.clone()))]);
    hub.put(REPO, Repo { private: true, commits: 1, files: readme, ..Repo::default() });
    for quantization in [Quantization::Q8_0, Quantization::Q4_K_M] {
        let made = world
            .export_of(CreateExport {
                quantizations: vec![quantization],
                destinations: Destinations::new(vec![Destination::HfHub]).unwrap(),
                hf_repo: Some(REPO.parse().unwrap()),
                ..fixtures::request("job-1")
            })
            .await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
    }
    let repo = hub.repo(REPO).unwrap();
    let card = String::from_utf8(repo.files["README.md"].bytes.clone()).unwrap();
    assert!(card.starts_with(fields) && card.contains(text.trim_end()), "{card}");
    assert!(card.contains(&format!("\nbase_model: {BASE}\n")) && !card.contains("license: gemma"), "{card}");
    for name in ["model.gguf", "model-q4_k_m.gguf"] {
        assert!(repo.files.contains_key(name) && card.contains(&format!("`{name}`")), "{card}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_read_and_written_by_the_name_that_it_had_before() {
    let hub = hub().await;
    hub.rename(BASE, "google/gemma-3-micro-it");
    hub.put("ada/renamed", Repo { private: true, commits: 1, ..Repo::default() });
    hub.rename(REPO, "ada/renamed");
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let made = export(&world, kind, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{kind:?}: {}", message(&made));
    }
    let renamed = hub.repo("ada/renamed").unwrap();
    assert!(renamed.files.contains_key("model.gguf") && renamed.commits == 4);
    assert!(hub.repo(REPO).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_that_push_to_one_repository_at_the_same_time_all_end_there() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let types = [Quantization::Q8_0, Quantization::Q4_K_M, Quantization::BF16];
    let mut ids = Vec::new();
    for quantization in types {
        let request = CreateExport {
            quantizations: vec![quantization],
            destinations: Destinations::new(vec![Destination::HfHub]).unwrap(),
            hf_repo: Some(REPO.parse().unwrap()),
            ..fixtures::request("job-1")
        };
        ids.push(world.create_for(request).await);
    }
    let run = |id| world.run(id, "run-1", std::future::pending());
    tokio::join!(run(ids[0]), run(ids[1]), run(ids[2]));
    for id in ids {
        let made = world.record(id).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
    }
    let repo = hub.repo(REPO).unwrap();
    let card = String::from_utf8(repo.files["README.md"].bytes.clone()).unwrap();
    for name in ["model.gguf", "model-q4_k_m.gguf", "model-bf16.gguf"] {
        assert!(repo.files.contains_key(name) && card.contains(&format!("`{name}`")), "{card}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_is_not_text_or_very_large_stays() {
    for card in [vec![0xff; 10], vec![b'a'; (4 << 20) + 1]] {
        let hub = hub().await;
        let files = BTreeMap::from([("README.md".to_owned(), Content::regular(card.clone()))]);
        hub.put(REPO, Repo { private: true, commits: 1, files, ..Repo::default() });
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        let repo = hub.repo(REPO).unwrap();
        assert!(repo.files["README.md"].bytes == card && repo.files.contains_key("adapter_config.json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_of_a_gguf_export_are_one_commit() {
    use Quantization::{F16, F32, Q4_K_M, Q8_0};
    let model = (GgufKind::Model, [(Q8_0, "model.gguf"), (Q4_K_M, "model-q4_k_m.gguf")]);
    let lora = (GgufKind::Lora, [(F32, "lora-f32.gguf"), (F16, "lora-f16.gguf")]);
    for (gguf_kind, types) in [model, lora] {
        let hub = hub().await;
        let world = World::with_hub(hub.endpoint(), Some(WRITER)).verifying_logits();
        let made = world
            .export_of(CreateExport {
                gguf_kind,
                quantizations: types.map(|(quantization, _)| quantization).to_vec(),
                destinations: Destinations::new(vec![Destination::Gcs, Destination::HfHub]).unwrap(),
                hf_repo: Some(REPO.parse().unwrap()),
                ..fixtures::request("job-1")
            })
            .await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        let artifacts: Vec<_> =
            made.artifacts.iter().map(|artifact| (artifact.variant, artifact.quantization)).collect();
        let [first, second] = types.map(|(quantization, _)| Some(quantization));
        let expected = [first, second].into_iter().flat_map(|one| [(Variant::File, one), (Variant::Hf, one)]);
        assert_eq!(artifacts, expected.collect::<Vec<_>>());
        let repo = hub.repo(REPO).unwrap();
        assert_eq!((repo.commits, hub.asked(Step::Commit)), (1, 1));
        let card = String::from_utf8(repo.files["README.md"].bytes.clone()).unwrap();
        for (_, name) in types {
            let file = fs::read(world.made("files/job-1", name)).unwrap();
            assert!(repo.files[name].bytes == file && card.contains(&format!("`{name}`")), "{card}");
            let says_survival = card.contains(&format!("`{name}` keeps "));
            assert_eq!(says_survival, gguf_kind == GgufKind::Model, "{card}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_can_have_a_path() {
    let hub = hub().await;
    let mirror = format!("{}/mirror", hub.endpoint());
    let world = World::with_hub(&mirror, Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    for commits in 1..=2 {
        let made = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        assert_eq!(hub.repo(REPO).unwrap().commits, commits);
    }
}
