//! Pushed files, read back with Python's `huggingface_hub`, with and without Xet.
//! `scripts/with-hub-client` installs it.

use std::{collections::BTreeMap, fs, path::Path};

use e2e::hub::{Hub, Step};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::{
    domain::{ArtifactKind, Destination, Status},
    testing::emulator,
};
use tokio::process::Command;

use crate::{
    hub::{REPO, WRITER, export, hub},
    support::World,
};

/// Every exported file, by its name on the Hub.
fn exported(world: &World) -> BTreeMap<String, Vec<u8>> {
    let made = |folder: &str, name: &str| world.made(folder, name).parent().unwrap().to_owned();
    let folders = [
        world.path("models/adapters/job-1"),
        made("models/merged_models/job-1", "config.json"),
        made("files/job-1", "model.gguf"),
    ];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(Result::unwrap));
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

async fn read_back(python: &str, hub: &Hub, folder: &Path, xet: bool) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/job/read_back.py");
    let output = Command::new(python)
        .arg(script)
        .args([hub.endpoint(), REPO])
        .arg(folder.join("snapshot"))
        .env_clear()
        .envs([("HF_TOKEN", WRITER), ("HF_HUB_DISABLE_XET", if xet { "0" } else { "1" })])
        .env("HF_HOME", folder.join("home"))
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_client_reads_back_every_byte_that_was_pushed() {
    let Some(python) = emulator("HUB_CLIENT_PYTHON") else { return };
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let made = export(&world, kind, &[Destination::Gcs, Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    }
    let mut expected = exported(&world);
    // the merged model removes the adapter that was pushed before it
    expected.retain(|name, _| !name.starts_with("adapter_"));
    // the model card of the last export
    expected.insert("README.md".to_owned(), hub.repo(REPO).unwrap().files["README.md"].bytes.clone());

    for xet in [true, false] {
        let before = hub.asked(Step::ReadToken);
        let folder = tempfile::tempdir().unwrap();
        let read = read_back(&python, &hub, folder.path(), xet).await;
        assert_eq!(
            hub.asked(Step::ReadToken) > before,
            xet,
            "large files are read through Xet only where it is enabled"
        );
        assert_eq!(read["private"], true);
        assert_eq!(read["siblings"], json!(expected.keys().collect::<Vec<_>>()));
        let files = read["files"].as_object().unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, content) in &expected {
            let (file, sha256) = (&files[name], json!(hex::encode(Sha256::digest(content))));
            assert_eq!(file["sha256"], sha256, "{name}");
            assert_eq!((&file["size"], &file["size_asked"]), (&json!(content.len()), &json!(content.len())));
            let large = content.len() as u64 > e2e::hub::LARGEST_REGULAR;
            assert_eq!(file["lfs_sha256"], if large { sha256 } else { Value::Null }, "{name}");
        }
        assert!(files.values().any(|file| !file["lfs_sha256"].is_null()), "at least one is large");
    }
}
