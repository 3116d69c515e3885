//! Hashes of reference exports, committed with the `OUTPUT_REVISION` that they are of. When the bytes of an export
//! change, the revision has to be raised, because stored exports of an earlier revision would be used again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model, OUTPUT_REVISION,
    Outcome, OutputType, RunOptions,
};
use serde::{Deserialize, Serialize};

/// The committed hashes: `output_revision.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OutputHashes {
    revision: u32,
    /// Per export, the SHA-256 of each file.
    exports: BTreeMap<String, BTreeMap<String, String>>,
}

fn fixture(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(part)
}

fn checkpoint(case: &str) -> Checkpoint {
    Checkpoint::open(Arc::new(LocalFolder::open(fixture(case).join("base")).unwrap())).unwrap()
}

fn model(case: &str) -> Model {
    let adapter = Arc::new(LocalFolder::open(fixture(case).join("adapter")).unwrap());
    Model::with_adapter(&checkpoint(case), &Adapter::open(adapter).unwrap()).unwrap()
}

fn hashes(outcome: Outcome) -> BTreeMap<String, String> {
    outcome.files.into_iter().map(|file| (file.name, file.sha256)).collect()
}

fn merged(case: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let plan = MergePlan::new(&model(case)).unwrap();
    let mut output = LocalOutput::create(folder.path()).unwrap();
    hashes(engine::merge(&plan, &mut output, &RunOptions::default()).unwrap())
}

fn gguf(plan: &GgufPlan) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut output = LocalOutput::create(folder.path()).unwrap();
    hashes(engine::gguf(plan, "model.gguf", &mut output, &RunOptions::default()).unwrap())
}

fn options(output: OutputType) -> GgufOptions {
    GgufOptions::new(output, "Reference").with_separate_mmproj()
}

/// Merges, every GGUF type, and each family.
fn reference_exports() -> OutputHashes {
    let mut exports = BTreeMap::new();
    for case in ["gemma1-micro", "gemma2-micro", "gemma3-micro"] {
        exports.insert(format!("merged {case}"), merged(case));
    }
    let micro = model("gemma3-micro");
    for output in OutputType::ALL {
        let plan = GgufPlan::new(&micro, &options(output)).unwrap();
        exports.insert(format!("{output} gemma3-micro"), gguf(&plan));
    }
    for family in
        ["gemma-embedding", "gemma3-vision", "gemma3n", "gemma4-dense", "gemma4-moe", "gemma4-unified"]
    {
        let model = Model::new(&checkpoint(&format!("families/{family}")));
        let plan = GgufPlan::new(&model, &options(OutputType::Q8_0)).unwrap();
        exports.insert(format!("q8_0 {family}"), gguf(&plan));
    }
    for family in ["gemma3-vision", "gemma3n-towers", "gemma4-towers"] {
        let model = Model::new(&checkpoint(&format!("families/{family}")));
        let plan = GgufPlan::mmproj(&model, &options(OutputType::F16)).unwrap();
        exports.insert(format!("mmproj f16 {family}"), gguf(&plan));
    }
    OutputHashes { revision: OUTPUT_REVISION, exports }
}

/// The names of exports whose hashes differ.
fn changed(committed: &OutputHashes, now: &OutputHashes) -> Vec<String> {
    let names = committed.exports.keys().chain(now.exports.keys()).collect::<std::collections::BTreeSet<_>>();
    names.into_iter().filter(|name| committed.exports.get(*name) != now.exports.get(*name)).cloned().collect()
}

#[test]
fn the_revision_is_raised_when_the_bytes_of_an_export_change() {
    let file = fixture("output_revision.json");
    let now = reference_exports();
    let committed = std::fs::read(&file).ok().map(|text| serde_json::from_slice(&text).unwrap());
    let committed: OutputHashes =
        committed.unwrap_or_else(|| OutputHashes { revision: 0, exports: BTreeMap::new() });
    let changed = changed(&committed, &now);
    assert!(
        changed.is_empty() || OUTPUT_REVISION > committed.revision,
        "the bytes of these exports have changed: {changed:?}. Raise OUTPUT_REVISION (engine/src/output_revision.rs), \
         then run this test with UPDATE_OUTPUT_REVISION=1"
    );
    if std::env::var_os("UPDATE_OUTPUT_REVISION").is_some() {
        let mut text = serde_json::to_string_pretty(&now).unwrap();
        text.push('\n');
        std::fs::write(&file, text).unwrap();
    } else {
        assert_eq!(
            committed,
            now,
            "run this test with UPDATE_OUTPUT_REVISION=1, which writes {}",
            file.display()
        );
    }
}
