//! Pushed repositories, loaded by name with transformers, whatever was in them before. `make test-peers` runs it with a Python
//! that has transformers, which takes some GB.

use std::{collections::BTreeMap, fs, path::Path};

use e2e::hub::{Content, Hub, Repo};
use serde_json::{Value, json};
use shared::domain::{ArtifactKind, Destination, Status};
use tokio::process::Command;

use crate::{
    hub::{REPO, WRITER, export, hub, message},
    support::{BASE, World},
};

/// Pushes to a repository that had `before`, and keeps the result under another name.
async fn push(hub: &Hub, world: &World, kind: ArtifactKind, before: Repo, keep: &str) {
    hub.put(REPO, Repo { private: true, ..before });
    let made = export(world, kind, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{keep}: {}", message(&made));
    hub.put(keep, hub.repo(REPO).unwrap());
}

/// The weights of another model, as one file.
fn other_weights() -> Vec<u8> {
    let fixture = crate::support::fixture("families/gemma3-vision/base/model.safetensors");
    fs::read(fixture).unwrap()
}

async fn predict(python: &str, hub: &Hub, adapter: &Path, repos: &[&str]) -> Value {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/job/predict.py"))
        .arg(BASE)
        .arg(adapter)
        .args(repos)
        .env_clear()
        .envs([("HF_TOKEN", WRITER), ("HF_ENDPOINT", hub.endpoint()), ("HF_HUB_DISABLE_TELEMETRY", "1")])
        .env("HF_HOME", home.path())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[ignore = "make test-peers runs it"]
#[tokio::test(flavor = "multi_thread")]
async fn transformers_loads_what_was_pushed_whatever_was_there_before() {
    let python = std::env::var("TRANSFORMERS_PYTHON").expect("TRANSFORMERS_PYTHON");
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let config = world.path("models/adapters/job-1/adapter_config.json");
    let mut fields: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    fields["base_model_name_or_path"] = json!("/content/gemma");
    fs::write(&config, fields.to_string()).unwrap();
    let with = |files: &[(&str, Vec<u8>)]| Repo {
        commits: 1,
        files: files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), Content::regular(bytes.clone())))
            .collect(),
        ..Repo::default()
    };
    let (other, nothing) = (other_weights(), Repo { files: BTreeMap::new(), ..Repo::default() });
    let index = br#"{"metadata": {}, "weight_map": {}}"#.to_vec();

    push(&hub, &world, ArtifactKind::Adapter, nothing.clone(), "ada/adapter").await;
    let old_adapter = with(&[("adapter_model.bin", other.clone()), ("adapter_config.json", b"{}".to_vec())]);
    push(&hub, &world, ArtifactKind::Adapter, old_adapter, "ada/adapter-over-another").await;
    push(&hub, &world, ArtifactKind::Merged, nothing, "ada/merged").await;
    let adapter = hub.repo("ada/adapter").unwrap();
    push(&hub, &world, ArtifactKind::Merged, adapter, "ada/merged-over-adapter").await;
    let single = with(&[("model.safetensors", other.clone()), ("config.json", b"{}".to_vec())]);
    push(&hub, &world, ArtifactKind::Merged, single, "ada/merged-over-a-single-file").await;
    let stale = with(&[("pytorch_model.bin", other), ("pytorch_model.bin.index.json", index)]);
    push(&hub, &world, ArtifactKind::Merged, stale, "ada/merged-over-pickles").await;

    let (adapters, merged) = (
        ["ada/adapter", "ada/adapter-over-another"],
        ["ada/merged", "ada/merged-over-adapter", "ada/merged-over-a-single-file", "ada/merged-over-pickles"],
    );
    let repos = [&adapters[..], &merged[..]].concat();
    let found = predict(&python, &hub, config.parent().unwrap(), &repos).await;
    assert!(found["effect"].as_f64().unwrap() > 0.05, "the adapter changes the logits: {found}");
    for repo in adapters {
        assert_eq!(found["repos"][repo]["applied"], json!(0.0), "{repo}: {found}");
    }
    for repo in merged {
        assert_eq!(found["repos"][repo]["merged"], json!(0.0), "{repo}: {found}");
    }
}
