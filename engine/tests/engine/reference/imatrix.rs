//! Quantizes with an importance matrix, in both file formats, tensor by tensor.

use std::collections::BTreeMap;
use std::path::Path;

use engine::{Folder, GgufFile, GgufOptions, GgufPlan, Imatrix, LocalFolder, LocalOutput, RunOptions};
use serde::Deserialize;

use super::case::{Case, sha256};

#[derive(Deserialize)]
struct QuantizedTensor {
    #[serde(rename = "type")]
    kind: String,
    sha256: String,
}

/// One of a model as it is usual, and one of a model with experts.
pub(crate) fn compare(fixtures: &Path) {
    compare_one(&Case::open(fixtures.join("gemma3-micro")), &fixtures.join("imatrix"));
    compare_one(&Case::open(fixtures.join("families/gemma4-moe")), &fixtures.join("imatrix/experts"));
}

fn compare_one(case: &Case, folder: &Path) {
    let expected = std::fs::read(folder.join("quantized.json")).unwrap();
    let expected: BTreeMap<String, BTreeMap<String, QuantizedTensor>> =
        serde_json::from_slice(&expected).unwrap();
    for (number, (name, tensors)) in expected.iter().enumerate() {
        let format = if number % 2 == 0 { "imatrix.dat" } else { "imatrix.gguf" };
        let source = LocalFolder::open(folder).unwrap().open(format).unwrap();
        let options = GgufOptions::new(name.parse().unwrap(), "merged");
        let options = options.with_imatrix(Imatrix::open(&*source, format).unwrap());
        let plan = GgufPlan::new(&case.model, &options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        engine::gguf(&plan, "m.gguf", &mut out, &RunOptions::default()).unwrap();
        check(name, &folder.path().join("m.gguf"), tensors);
    }
}

fn check(name: &str, path: &Path, tensors: &BTreeMap<String, QuantizedTensor>) {
    let bytes = std::fs::read(path).unwrap();
    let source = LocalFolder::open(path.parent().unwrap()).unwrap().open("m.gguf").unwrap();
    let file = GgufFile::open(&*source).unwrap();
    assert_eq!(file.tensors.len(), tensors.len());
    for tensor in &file.tensors {
        let wanted = &tensors[&tensor.name];
        let is = sha256(&bytes[tensor.byte_range.start as usize..tensor.byte_range.end as usize]);
        let kind = tensor.tensor_type.map(|t| t.as_str()).unwrap_or_default();
        assert_eq!(
            (kind, is.as_str()),
            (wanted.kind.as_str(), wanted.sha256.as_str()),
            "{name}: {}",
            tensor.name
        );
    }
    let keys: Vec<&str> = file.key_values.iter().rev().take(4).map(|k| k.key.as_str()).collect();
    assert_eq!(keys[0], "quantize.imatrix.chunks_count", "{name}: {keys:?}");
}
