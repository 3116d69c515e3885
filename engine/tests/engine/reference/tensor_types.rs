//! Quantizes with types of single tensors, file by file.

use std::path::Path;

use engine::{GgufOptions, GgufPlan, LocalOutput, RunOptions, TypeOverrides};
use serde::Deserialize;

use super::case::{Case, sha256};

#[derive(Deserialize)]
struct QuantizedFile {
    quantization: String,
    types: TypeOverrides,
    sha256: String,
}

pub(crate) fn compare(fixtures: &Path) {
    let model = Case::open(fixtures.join("gemma3-micro")).model;
    let expected = std::fs::read(fixtures.join("tensor_types.json")).unwrap();
    for file in serde_json::from_slice::<Vec<QuantizedFile>>(&expected).unwrap() {
        let options =
            GgufOptions::new(file.quantization.parse().unwrap(), "merged").with_types(file.types.clone());
        let plan = GgufPlan::new(&model, &options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        engine::gguf(&plan, "m.gguf", &mut out, &RunOptions::default()).unwrap();
        let bytes = std::fs::read(folder.path().join("m.gguf")).unwrap();
        assert_eq!(plan.size(), bytes.len() as u64);
        assert_eq!(sha256(&bytes), file.sha256, "{} {:?}", file.quantization, file.types);
    }
}
