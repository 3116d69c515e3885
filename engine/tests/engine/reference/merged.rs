//! The merged checkpoint, tensor by tensor.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Checkpoint, Folder, LocalFolder, LocalOutput, MergePlan, RunOptions};

use super::case::{Case, sha256};

pub(crate) fn compare(case: &Case) {
    let folder = tempfile::tempdir().unwrap();
    let plan = MergePlan::new(&case.model).unwrap();
    // PEFT saved the factors of every module that it trained
    let codes: Vec<&str> = plan.warnings().iter().map(|warning| warning.code).collect();
    assert!(!codes.contains(&"missing_factors"), "{}: {:?}", case.name, plan.warnings());
    let planned = plan.files();
    let outcome =
        engine::merge(&plan, &mut LocalOutput::create(folder.path()).unwrap(), &RunOptions::default())
            .unwrap();
    assert!(outcome.report.summary.tensors_changed > 0, "{}: nothing changed", case.name);
    for (planned, written) in planned.iter().zip(&outcome.files) {
        let bytes = std::fs::read(folder.path().join(&written.name)).unwrap();
        assert_eq!((&planned.name, planned.size), (&written.name, bytes.len() as u64), "{}", case.name);
        assert_eq!(written.sha256, sha256(&bytes), "{}: {}", case.name, written.name);
    }
    // the report comes last and was not planned
    assert_eq!(planned.len() + 1, outcome.files.len());
    compare_tensors(case, Arc::new(LocalFolder::open(folder.path()).unwrap()));
}

fn compare_tensors(case: &Case, folder: Arc<LocalFolder>) {
    let merged = Checkpoint::open(Arc::<LocalFolder>::clone(&folder)).unwrap();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for tensor in merged.tensors() {
        seen.insert(tensor.name.clone());
        let Some(expected) = case.expected.merged.get(&tensor.name) else {
            wrong.push(format!("{} is not in PEFT's result", tensor.name));
            continue;
        };
        let is = (tensor.dtype.as_str(), &tensor.shape, sha256(&bytes_of(&*folder, &merged, &tensor.name)));
        if is != (expected.dtype.as_str(), &expected.shape, expected.sha256.clone()) {
            wrong.push(format!("{}: {is:?}", tensor.name));
        }
    }
    wrong.extend(
        case.expected.merged.keys().filter(|n| !seen.contains(*n)).map(|n| format!("{n} is missing")),
    );
    assert!(wrong.is_empty(), "{}: {} tensors differ:\n{}", case.name, wrong.len(), wrong.join("\n"));
}

/// A tensor's bytes, read without the engine's help.
fn bytes_of(folder: &dyn Folder, merged: &Checkpoint, name: &str) -> Vec<u8> {
    for entry in folder.list().unwrap() {
        if !entry.name.ends_with(".safetensors") {
            continue;
        }
        let path = std::path::Path::new(merged.location()).join(&entry.name);
        let bytes = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        if let Some(tensor) = header.get(name) {
            let at = |i: usize| tensor["data_offsets"][i].as_u64().unwrap() as usize + 8 + length;
            return bytes[at(0)..at(1)].to_vec();
        }
    }
    panic!("{name} is in no shard");
}
