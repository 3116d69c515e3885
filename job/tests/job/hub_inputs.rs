//! Inputs as trainers leave them, and what of them is pushed to the Hub.

use std::{fs, os::unix::fs::symlink};

use e2e::hub::{Hub, Repo, Step};
use serde_json::{Value, json};
use shared::domain::{ArtifactKind, Destination, Export, FailureCode, Status};

use crate::{
    exports::{reference, sha256_of},
    hub::{REPO, WITHOUT_LICENSES, WRITER, export, files, hub, message},
    support::{BASE, World, copy, fixture},
};

const ADAPTER: &str = "models/adapters/job-1";

fn failed(export: &Export) -> &str {
    assert_eq!(export.failure.as_ref().map(|failure| failure.code), Some(FailureCode::InvalidInput));
    message(export)
}

async fn merge(world: &World) -> Export {
    export(world, ArtifactKind::Merged, &[Destination::Gcs]).await
}

/// Sets the name of the base model in `adapter_config.json`.
pub(crate) fn name_base(world: &World, name: &Value) {
    let path = world.path(ADAPTER).join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["base_model_name_or_path"] = name.clone();
    fs::write(path, serde_json::to_vec_pretty(&config).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_parts_of_an_adapter_are_exported() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let kept = [
        "tokenizer.json",
        "chat_template.jinja",
        "additional_chat_templates/tool.jinja",
        "processor_config.json",
    ];
    let left = [
        "optimizer.pt",
        "optimizer.safetensors",
        "scaler.pickle",
        "state.joblib",
        "last.ckpt",
        "nohup.out",
        "train.yaml",
        "trainer_state.json",
        "model.safetensors",
        "config.json",
        "adapter_model.bin",
        ".env",
        "checkpoint-10/adapter_model.safetensors",
        "additional_chat_templates/run.py",
    ];
    for name in kept.iter().chain(&left) {
        let path = world.path(ADAPTER).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let pushed = hub.repo(REPO).unwrap().files;
    let mut expected = vec!["README.md", "adapter_config.json", "adapter_model.safetensors"];
    expected.extend(kept);
    expected.sort_unstable();
    assert_eq!(pushed.keys().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_adapter_names_the_base_model_that_was_used() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    for name in ["/content/drive/MyDrive/gemma", "outputs/checkpoint-500", "ada/another-gemma"] {
        name_base(&world, &json!(name));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        let pushed: Value =
            serde_json::from_slice(&hub.repo(REPO).unwrap().files["adapter_config.json"].bytes).unwrap();
        let mut expected: Value =
            serde_json::from_slice(&fs::read(fixture("gemma3-micro/adapter/adapter_config.json")).unwrap())
                .unwrap();
        expected["base_model_name_or_path"] = json!(BASE);
        assert_eq!(pushed, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_no_repository_has_as_its_name_is_refused_before_any_work() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    world.put_training_job("job-1", json!({"base_model_id": null}));
    for name in ["/content/drive/MyDrive/gemma", "outputs/checkpoint-500", "models/gemma"] {
        name_base(&world, &json!(name));
        for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
            let made = export(&world, kind, &[Destination::Gcs, Destination::HfHub]).await;
            let text = message(&made);
            assert_eq!(made.status, Status::Failed, "{text}");
            assert!(
                text.contains(&format!("{name:?}")) && text.contains("base_model_name_or_path"),
                "{text}"
            );
            assert!(text.contains("set base_model_id of training job job-1"), "{text}");
            assert_eq!(world.files("files"), Vec::new(), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_of_an_adapter_has_the_task_of_its_base_model() {
    for (family, file, expected) in [
        ("gemma3-vision", "preprocessor_config.json", "pipeline_tag: image-text-to-text\n"),
        ("gemma-embedding", "modules.json", "pipeline_tag: sentence-similarity\n"),
    ] {
        let hub = hub().await;
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        world.put_base(family);
        fs::write(world.path(&format!("base-models/{BASE}/{file}")), "{}").unwrap();
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        let card = String::from_utf8(hub.repo(REPO).unwrap().files["README.md"].bytes.clone()).unwrap();
        assert!(card.contains(expected) && card.contains("library_name: peft\n"), "{card}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_of_an_adapter_names_a_base_model_that_exists() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WITHOUT_LICENSES));
    world.put_training_job("job-1", json!({"base_model_id": "ada/gemma-3-tiny-unsloth-bnb-4bit"}));
    let mut cards = Vec::new();
    let sibling = |gated| Repo { gated, files: files("gemma3-micro/base"), ..Repo::default() };
    for gated in [None, Some(true), Some(false)] {
        if let Some(gated) = gated {
            hub.put("ada/gemma-3-tiny", sibling(gated));
        }
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        cards.push(String::from_utf8(hub.repo(REPO).unwrap().files["README.md"].bytes.clone()).unwrap());
    }
    assert!(cards[0].contains("base_model: ada/gemma-3-tiny-unsloth-bnb-4bit\n"), "{}", cards[0]);
    for card in &cards[1..] {
        assert!(card.contains("base_model: ada/gemma-3-tiny\n"), "{card}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_to_something_else_than_an_adapter_says_what_to_point_at() {
    let world = World::new();
    copy(&world.path(ADAPTER), &world.path("models/out/checkpoint-90"));
    copy(&world.path(ADAPTER), &world.path("models/out/checkpoint-1000"));
    fs::write(world.path("models/out/nohup.out"), "log").unwrap();
    fs::create_dir(world.path("models/zipped")).unwrap();
    fs::write(world.path("models/zipped/adapter.zip"), "PK").unwrap();
    let put = |files: &[&str]| {
        for file in files {
            let path = world.path(&format!("models/{file}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
    };
    put(&["other/lora.pt", "tuned/config.json", "tuned/pytorch_model.bin", "stray/adapter_config.json"]);
    put(&["beside/adapter_config.json", "beside/config.json", "beside/model.safetensors"]);
    for step in ["checkpoint-90", "checkpoint-1000"] {
        put(&[&format!("full/{step}/config.json"), &format!("full/{step}/model.safetensors")]);
        put(&[
            &format!("mixed/{step}/adapter_config.json"),
            &format!("mixed/{step}/adapter_model.safetensors"),
        ]);
    }
    put(&["mixed/adapter_config.json", "full/config.json", "full/checkpoint-2000/config.json"]);
    for end in ["7z", "rar", "tar.bz2", "tar.xz", "tar.zst", "TAR.GZ"] {
        put(&[&format!("archive.{end}/adapter.{end}")]);
        world.put_training_job("job-1", json!({"adapter_path": world.url(&format!("models/archive.{end}"))}));
        let made = merge(&world).await;
        let expected = format!("it has the archive adapter.{end}: unpack it");
        assert!(failed(&made).contains(&expected), "{end}: {}", message(&made));
    }
    for (path, expected) in [
        ("models/out", "such as checkpoint-1000"),
        ("models/zipped", "it has the archive adapter.zip: unpack it"),
        ("models/zipped/adapter.zip", "unpack it"),
        ("models/adapters/job-1/adapter_model.safetensors", "set adapter_path to its folder, job-1"),
        ("models/other", "it has lora.pt: save the adapter"),
        ("models/tuned", "it has config.json, pytorch_model.bin: save the model"),
        ("models/stray", "adapter_config.json without weights of an adapter"),
        ("models/stray", "it has adapter_config.json: save the adapter"),
        ("models/beside", "it has a full model beside it: remove adapter_config.json"),
        ("models/full", "there are full models in checkpoint-1000, checkpoint-90: set adapter_path"),
        ("models/mixed", "there are adapters in checkpoint-1000, checkpoint-90: set adapter_path"),
    ] {
        world.put_training_job("job-1", json!({"adapter_path": world.url(path)}));
        let made = merge(&world).await;
        assert!(failed(&made).contains(expected), "{path}: {}", message(&made));
        assert!(!message(&made).contains("file:"), "{path}: {}", message(&made));
    }
    world.put_training_job("job-1", json!({"adapter_path": world.url("models/none.zip")}));
    assert!(message(&merge(&world).await).contains("there are no files in none.zip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_models_name_is_reported_as_that_of_its_field() {
    let world = World::new();
    for (name, expected) in [
        ("https://huggingface.co/google/gemma-3-1b-it", "not a URL"),
        ("hf.co/google/gemma-3-1b-it", "not a URL"),
        ("google/gemma 3", "letters, digits"),
        ("google/gemma-3-1b-it/", "without a slash at the end"),
        ("google/gemma-3-1b-it@main", "without @ and a revision"),
        ("gemma-3-1b-it", "must be owner/name"),
    ] {
        world.put_training_job("job-1", json!({ "base_model_id": name }));
        let made = merge(&world).await;
        assert!(
            failed(&made).contains("base_model_id") && message(&made).contains(expected),
            "{}",
            message(&made)
        );
    }
    world.put_training_job("job-1", json!({ "base_model_id": null }));
    for path in ["/content/gemma-3", "./gemma", "C:\\models\\gemma"] {
        name_base(&world, &json!(path));
        let made = merge(&world).await;
        let expected = format!("base_model_name_or_path {path:?} in adapter_config.json");
        assert!(failed(&made).contains(&expected), "{}", message(&made));
        assert!(message(&made).contains("set base_model_id of training job job-1"), "{}", message(&made));
    }
    world.put_training_job("job-1", json!({ "base_model_id": format!(" {BASE}\n") }));
    assert_eq!(merge(&world).await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_lfs_pointer_is_named_as_one() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n";
    let hub = hub().await;
    for (kind, file) in [
        (ArtifactKind::Merged, format!("{ADAPTER}/adapter_model.safetensors")),
        (ArtifactKind::Merged, format!("base-models/{BASE}/model-00002-of-00002.safetensors")),
        (ArtifactKind::Merged, format!("base-models/{BASE}/tokenizer.json")),
        (ArtifactKind::Adapter, format!("{ADAPTER}/tokenizer.json")),
        (ArtifactKind::Adapter, format!("{ADAPTER}/tokenizer.model")),
    ] {
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        fs::write(world.path(&file), pointer).unwrap();
        let made = export(&world, kind, &[Destination::Gcs, Destination::HfHub]).await;
        let name = file.rsplit('/').next().unwrap();
        assert!(
            failed(&made).contains("git lfs pull") && message(&made).contains(name),
            "{}",
            message(&made)
        );
        assert_eq!(world.files("files"), Vec::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_model_of_symbolic_links_is_seen() {
    let world = World::new();
    let (folder, blobs) = (world.path(&format!("base-models/{BASE}")), world.path("base-models/blobs"));
    fs::rename(&folder, &blobs).unwrap();
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(&blobs).unwrap().map(Result::unwrap) {
        symlink(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let made = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert_eq!(sha256_of(&world, "model.gguf"), reference());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_model_does_not_hide_the_hubs() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let folder = world.path(&format!("base-models/{BASE}"));
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    fs::write(folder.join("model-q4_0.gguf"), "GGUF").unwrap();
    let made = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert!(hub.asked(Step::Info) > 0 && sha256_of(&world, "model.gguf") == reference());

    let empty = Hub::start([]).await;
    let world = World::with_hub(empty.endpoint(), None);
    let folder = world.path(&format!("base-models/{BASE}"));
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        fs::remove_file(folder.join(shard)).unwrap();
    }
    fs::remove_file(folder.join("model.safetensors.index.json")).unwrap();
    let made = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    let expected = format!("its folder {BASE} among the base models has config.json");
    assert!(message(&made).contains(&expected), "{}", message(&made));
    assert!(message(&made).contains("but no weights as safetensors"), "{}", message(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_fields_that_an_export_does_not_need_do_not_matter() {
    let world = World::new();
    world
        .put_training_job("job-1", json!({"job_name": 7, "created_at": 1_700_000_000, "modality": ["text"]}));
    assert_eq!(merge(&world).await.status, Status::Completed);
}
