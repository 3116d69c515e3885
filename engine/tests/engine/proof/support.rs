//! The fixtures as models, and exports into folders that go away.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model, Outcome,
    OutputType, RunOptions,
};

pub(crate) fn fixture(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(part)
}

pub(crate) fn checkpoint(folder: &Path) -> Checkpoint {
    Checkpoint::open(Arc::new(LocalFolder::open(folder).unwrap())).unwrap()
}

pub(crate) fn model(case: &str) -> Model {
    let adapter = Arc::new(LocalFolder::open(fixture(case).join("adapter")).unwrap());
    let base = checkpoint(&fixture(case).join("base"));
    Model::with_adapter(&base, &Adapter::open(adapter).unwrap()).unwrap()
}

/// So many threads, and blocks so long.
pub(crate) fn run(threads: usize, block: u64) -> RunOptions<'static> {
    RunOptions { threads: NonZeroUsize::new(threads), chunk_size: block, ..RunOptions::default() }
}

pub(crate) fn merge(model: &Model, folder: &Path, run: &RunOptions<'_>) -> Outcome {
    let plan = MergePlan::new(model).unwrap();
    engine::merge(&plan, &mut LocalOutput::create(folder).unwrap(), run).unwrap()
}

pub(crate) fn plan(model: &Model, output: OutputType) -> GgufPlan {
    GgufPlan::new(model, &GgufOptions::new(output, "merged")).unwrap()
}

pub(crate) fn gguf(model: &Model, output: OutputType, folder: &Path, run: &RunOptions<'_>) -> Outcome {
    engine::gguf(&plan(model, output), "m.gguf", &mut LocalOutput::create(folder).unwrap(), run).unwrap()
}

pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Writes a file of weights in F32.
pub(crate) fn write_tensors(path: &Path, tensors: &[(&str, &[usize], Vec<f32>)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let offsets = [start, data.len()];
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], header.as_bytes(), &data].concat()).unwrap();
}
