//! A tokenizer is the same whichever of its files a model came with.

use std::path::Path;
use std::sync::Arc;

use engine::{Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, Model, OutputType, RunOptions};

use super::case::sha256;

/// Without `tokenizer.model`, which transformers 5 no longer saves, the file comes from `tokenizer.json`.
pub(crate) fn compare(fixtures: &Path) {
    for name in ["gemma1-micro", "gemma2-micro", "gemma3-micro"] {
        let base = fixtures.join(name).join("base");
        let without = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&base).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "tokenizer.model" {
                std::fs::copy(entry.path(), without.path().join(entry.file_name())).unwrap();
            }
        }
        assert_eq!(gguf(without.path()), gguf(&base), "{name}");
    }
}

fn gguf(folder: &Path) -> String {
    let base = Checkpoint::open(Arc::new(LocalFolder::open(folder).unwrap())).unwrap();
    let plan = GgufPlan::new(&Model::new(&base), &GgufOptions::new(OutputType::Q8_0, "merged")).unwrap();
    let out = tempfile::tempdir().unwrap();
    engine::gguf(&plan, "m.gguf", &mut LocalOutput::create(out.path()).unwrap(), &RunOptions::default())
        .unwrap();
    sha256(&std::fs::read(out.path().join("m.gguf")).unwrap())
}
