//! Embedding and lm_head of a full model's own files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{Adapter, LocalFolder, LocalOutput, MergePlan, Model, RunOptions};
use serde_json::json;

use super::support::{checkpoint, fixture, json, merge};

fn write_own_files(of: &Path, out: &Path) {
    let plan = MergePlan::own_files(&Model::new(&checkpoint(of))).unwrap();
    engine::merge(&plan, &mut LocalOutput::create(out).unwrap(), &RunOptions::default()).unwrap();
}

#[test]
fn a_model_with_two_heads_is_not_left_tied() {
    let [full, out] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let adapter = LocalFolder::open(fixture("adapters/save-head/adapter")).unwrap();
    let adapter = Adapter::open(Arc::new(adapter)).unwrap();
    let model = Model::with_adapter(&checkpoint(&fixture("gemma3-micro/base")), &adapter).unwrap();
    merge(&model, full.path(), &RunOptions::default());
    fs::remove_file(full.path().join("export-report.json")).unwrap();
    let config = full.path().join("config.json");
    let mut tied = json(&config);
    assert_eq!(tied["tie_word_embeddings"], json!(false));
    tied["tie_word_embeddings"] = json!(true);
    fs::write(&config, tied.to_string()).unwrap();
    write_own_files(full.path(), out.path());
    assert_eq!(json(&out.path().join("config.json"))["tie_word_embeddings"], json!(false));
    let names = fs::read_dir(full.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let shards: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".safetensors")).collect();
    assert!(!shards.is_empty());
    for name in shards {
        let weights = |folder: &Path| fs::read(folder.join(&name)).unwrap();
        assert!(weights(full.path()) == weights(out.path()), "{name:?}");
    }
}

#[test]
fn a_model_with_one_head_keeps_its_configuration() {
    let out = tempfile::tempdir().unwrap();
    let base = fixture("families/gemma3-vision/base");
    write_own_files(&base, out.path());
    let config = |folder: &Path| fs::read(folder.join("config.json")).unwrap();
    assert!(config(&base) == config(out.path()));
}
