//! GGUF files: whole, and where they differ, by key and by tensor.

use std::collections::BTreeSet;

use engine::{Folder, GgufFile, GgufOptions, GgufPlan, LocalFolder, LocalOutput, OutputType, RunOptions};

use super::case::{Case, ExpectedGguf, ExpectedParts, sha256};

/// Returns the files that no output type of the engine corresponds to.
pub(crate) fn compare(case: &Case) -> Vec<String> {
    let mut uncovered = Vec::new();
    for (kind, expected) in &case.expected.gguf {
        // the types are named q8_0 or q4_k_m-from-bf16
        let (name, from) = kind.split_once("-from-").unwrap_or((kind, "bf16"));
        let name = name.strip_prefix("mmproj-").unwrap_or(name);
        match name.parse() {
            Ok(output) => compare_one(case, kind, output, from == "f16", expected),
            Err(_) => uncovered.push(format!("{}/{kind}", case.name.rsplit('/').next().unwrap_or_default())),
        }
    }
    uncovered
}

fn compare_one(case: &Case, kind: &str, output: OutputType, through_f16: bool, expected: &ExpectedGguf) {
    let folder = tempfile::tempdir().unwrap();
    let options = GgufOptions::new(output, "merged").with_separate_mmproj();
    let options = if through_f16 { options.through_f16() } else { options };
    let options = match &case.target {
        Some(target) => options.with_target(target),
        None => options,
    };
    let plan = match kind.starts_with("mmproj-") {
        true => GgufPlan::mmproj(&case.model, &options).unwrap(),
        false => GgufPlan::new(&case.model, &options).unwrap(),
    };
    let mut out = LocalOutput::create(folder.path()).unwrap();
    let outcome = engine::gguf(&plan, "m.gguf", &mut out, &RunOptions::default()).unwrap();
    let bytes = std::fs::read(folder.path().join("m.gguf")).unwrap();
    assert_eq!(plan.size(), bytes.len() as u64, "{}/{kind}: the planned size", case.name);
    assert_eq!(outcome.files[0].sha256, sha256(&bytes));
    if sha256(&bytes) == expected.sha256 {
        return;
    }
    let source = LocalFolder::open(folder.path()).unwrap().open("m.gguf").unwrap();
    let file = GgufFile::open(&*source).unwrap();
    let mut differences = Vec::new();
    if let Some(parts) = &expected.parts {
        differences.extend(keys(&file, &bytes, parts));
        differences.extend(tensors(&file, &bytes, parts));
    }
    panic!("{}/{kind} differs:\n{}", case.name, differences.join("\n"));
}

fn keys(file: &GgufFile, bytes: &[u8], expected: &ExpectedParts) -> Vec<String> {
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for pair in &file.key_values {
        seen.insert(&pair.key);
        let entry = &bytes[pair.byte_range.start as usize..pair.byte_range.end as usize];
        match expected.kv.get(&pair.key) {
            Some(sha) if *sha == sha256(entry) => {}
            Some(_) => differences.push(format!("key {} = {} differs", pair.key, pair.text())),
            None => differences.push(format!("key {} = {} should not be there", pair.key, pair.text())),
        }
    }
    differences
        .extend(expected.kv.keys().filter(|k| !seen.contains(k)).map(|k| format!("key {k} is missing")));
    differences
}

fn tensors(file: &GgufFile, bytes: &[u8], expected: &ExpectedParts) -> Vec<String> {
    let mut differences = Vec::new();
    let order: Vec<&String> = file.tensors.iter().map(|t| &t.name).collect();
    if order.iter().ne(&expected.order.iter().collect::<Vec<_>>()) {
        differences.push(format!("tensors come as {order:?}\nand should as {:?}", expected.order));
    }
    for tensor in &file.tensors {
        let Some(wanted) = expected.tensors.get(&tensor.name) else { continue };
        let data = &bytes[tensor.byte_range.start as usize..tensor.byte_range.end as usize];
        let is = (tensor.tensor_type.map(|t| t.as_str()).unwrap_or_default(), &tensor.shape);
        if is != (wanted.dtype.as_str(), &wanted.shape) {
            differences
                .push(format!("tensor {} is {is:?}, not {} {:?}", tensor.name, wanted.dtype, wanted.shape));
        } else if sha256(data) != wanted.sha256 {
            differences.push(format!("tensor {} ({}) has other bytes", tensor.name, wanted.dtype));
        }
    }
    differences
}
