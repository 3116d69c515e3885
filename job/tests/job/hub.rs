//! Base models from the Hub and exports to it, against a test server with a real Xet store.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use e2e::hub::{Access, Content, Fault, Hub, Repo, Step};
use serde_json::json;
use shared::{
    domain::{ArtifactKind, CreateExport, Destination, Destinations, Export, Quantization, Status, Variant},
    testing::fixtures,
};

use crate::support::{BASE, World, fixture};

/// Has write access, and has accepted the licenses.
pub(crate) const WRITER: &str = "hf_canary_of_the_writer";
/// Has read access to public models.
const READER: &str = "hf_canary_of_the_reader";
pub(crate) const REPO: &str = "ada/my-gemma";

pub(crate) async fn hub() -> Hub {
    let access = |write, licenses| Access { user: "ada".to_owned(), write, licenses };
    let hub = Hub::start([(WRITER, access(true, true)), (READER, access(false, false))]).await;
    hub.put(BASE, Repo { gated: true, commits: 3, files: files("gemma3-micro/base"), ..Repo::default() });
    hub
}

fn files(folder: &str) -> BTreeMap<String, Content> {
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
    let id = world
        .create_for(CreateExport {
            kind,
            quantization: (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0),
            destinations: Destinations::new(to.to_vec()).unwrap(),
            hf_repo: to.contains(&Destination::HfHub).then(|| REPO.parse().unwrap()),
            ..fixtures::request("job-1")
        })
        .await;
    world.run(id, "run-1", std::future::pending()).await;
    for (_, document) in world.store.documents("exports") {
        assert!(!document.to_string().contains("canary"), "a record holds the token");
    }
    world.record(id).await
}

fn folder_of(file: PathBuf) -> PathBuf {
    file.parent().unwrap().to_owned()
}

fn message(export: &Export) -> &str {
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
        (Step::PathsInfo, Fault::Status(500)),
        (Step::Preupload, Fault::Slow(Duration::from_secs(30))),
    ];
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    for (step, fault) in faults {
        hub.fail(step, fault, usize::MAX);
        let made = export(&world, ArtifactKind::Gguf, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Failed, "{step:?} {fault:?}");
        assert!(
            made.artifacts.is_empty() && message(&made).contains(REPO),
            "{step:?} {fault:?}: {}",
            message(&made)
        );
        hub.fail(step, fault, 0);
    }
    let before = world.files("files");
    let made = export(&world, ArtifactKind::Gguf, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert_eq!(world.files("files"), before, "the file was written once");
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
