//! What a report says, and that it always says the same.

use std::path::Path;

use engine::{ExportReport, OutputType, RunOptions};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::support::{fixture, gguf, json, merge, model, run};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

/// The tensors of a checkpoint: name, element type and bytes.
fn tensors(folder: &Path) -> Vec<(String, String, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .flat_map(|p| shard(&p))
        .collect()
}

fn shard(path: &Path) -> Vec<(String, String, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let tensor = |(name, about): (&String, &Value)| {
        let at = |i: usize| about["data_offsets"][i].as_u64().unwrap() as usize + 8 + length;
        (name.clone(), about["dtype"].as_str().unwrap().to_owned(), bytes[at(0)..at(1)].to_vec())
    };
    header.iter().filter(|(name, _)| *name != "__metadata__").map(tensor).collect()
}

fn bf16(bytes: &[u8]) -> Vec<f64> {
    let value = |b: &[u8]| f64::from(f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16));
    bytes.chunks(2).map(value).collect()
}

#[test]
fn a_report_has_the_same_bytes_whatever_the_threads_and_blocks() {
    for case in ["gemma3-micro", "gemma2-micro"] {
        let model = model(case);
        let mut reports = Vec::new();
        for (threads, block) in [(1, 2000), (1, 4 << 20), (2, 5000), (5, 64 << 10)] {
            let folder = tempfile::tempdir().unwrap();
            merge(&model, folder.path(), &run(threads, block));
            gguf(&model, OutputType::Q4_K_M, folder.path(), &run(threads, block));
            reports.push((
                read(folder.path(), ExportReport::FILE),
                read(folder.path(), &ExportReport::beside("m.gguf")),
            ));
        }
        assert!(reports.windows(2).all(|pair| pair[0] == pair[1]), "{case}");
    }
}

#[test]
fn a_report_names_no_place_and_no_time() {
    let folder = tempfile::tempdir().unwrap();
    merge(&model("gemma3-micro"), folder.path(), &RunOptions::default());
    let text = String::from_utf8(read(folder.path(), ExportReport::FILE)).unwrap();
    assert!(!text.contains('/'), "{text}");
}

#[test]
fn outputs_and_inputs_are_known_by_their_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = merge(&model("gemma3-micro"), folder.path(), &RunOptions::default());
    let report = json(&folder.path().join(ExportReport::FILE));
    let outputs = report["outputs"].as_array().unwrap();
    assert_eq!(outputs.len() + 1, outcome.files.len());
    for file in outputs {
        let bytes = read(folder.path(), file["name"].as_str().unwrap());
        assert_eq!(file["sha256"], sha256(&bytes), "{file}");
        assert_eq!(file["bytes"], bytes.len());
    }
    for (role, part) in [("base", "gemma3-micro/base"), ("adapter", "gemma3-micro/adapter")] {
        let files = report["inputs"][role].as_array().unwrap();
        assert!(files.len() > 1);
        for file in files {
            let bytes = read(&fixture(part), file["name"].as_str().unwrap());
            assert_eq!(file["bytes"], bytes.len(), "{file}");
            if let Some(header) = file.get("header_sha256") {
                let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
                assert_eq!(header, &sha256(&bytes[..8 + length]));
            } else {
                assert_eq!(file["sha256"], sha256(&bytes), "{file}");
            }
        }
    }
}

#[test]
fn tensors_are_measured_against_the_base() {
    let folder = tempfile::tempdir().unwrap();
    merge(&model("gemma3-micro"), folder.path(), &RunOptions::default());
    let report = json(&folder.path().join(ExportReport::FILE));
    let base = tensors(&fixture("gemma3-micro/base"));
    let merged = tensors(folder.path());
    let reported = report["tensors"].as_array().unwrap();
    assert_eq!(reported.len(), base.len());
    let mut unchanged = 0;
    for (name, dtype, before) in base {
        let (_, _, after) = merged.iter().find(|(n, _, _)| *n == name).unwrap();
        let said = reported.iter().find(|t| t["name"] == name.as_str()).unwrap();
        assert_eq!(said["base"]["blake3"], blake3::hash(&before).to_string(), "{name}");
        assert_eq!((said["dtype"].as_str().unwrap(), dtype.as_str()), ("BF16", "BF16"));
        if said["effect"] == "none" {
            assert!(before == *after && said.get("change").is_none(), "{name}");
            unchanged += 1;
            continue;
        }
        let sizes: Vec<f64> =
            bf16(&before).iter().zip(bf16(after)).map(|(before, after)| (before - after).abs()).collect();
        let change = &said["change"];
        let elements =
            before.chunks(2).zip(after.chunks(2)).filter(|(before, after)| before != after).count();
        assert_eq!(change["elements"], elements, "{name}");
        let largest = sizes.iter().copied().fold(0.0, f64::max);
        assert!((change["largest"].as_f64().unwrap() - largest).abs() <= 1e-6 * largest, "{name}");
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        assert!((change["mean"].as_f64().unwrap() - mean).abs() <= 1e-5 * mean, "{name}: {change} {mean}");
    }
    assert_eq!(report["summary"]["tensors_unchanged"], unchanged);
}

#[test]
fn every_pair_has_its_tensor() {
    let folder = tempfile::tempdir().unwrap();
    merge(&model("gemma3-micro"), folder.path(), &RunOptions::default());
    let report = json(&folder.path().join(ExportReport::FILE));
    let pairs = report["pairs"].as_array().unwrap();
    assert_eq!(report["summary"]["pairs"], pairs.len());
    let homes: std::collections::BTreeSet<&str> =
        pairs.iter().map(|p| p["tensor"].as_str().unwrap()).collect();
    let changed = report["tensors"].as_array().unwrap().iter().filter(|t| t["effect"] == "changed");
    assert_eq!(homes, changed.map(|t| t["name"].as_str().unwrap()).collect());
    assert!(
        pairs.iter().all(|p| p["kind"] == "lora" && p["rank"].as_u64() > Some(0) && p["scaling"].is_f64())
    );
}

#[test]
fn a_coarser_type_has_the_larger_error() {
    let model = model("gemma3-micro");
    let error = |output: OutputType| {
        let folder = tempfile::tempdir().unwrap();
        gguf(&model, output, folder.path(), &RunOptions::default()).report.summary.rmse.unwrap()
    };
    let errors = [
        OutputType::F32,
        OutputType::F16,
        OutputType::Q8_0,
        OutputType::Q6_K,
        OutputType::Q5_K_M,
        OutputType::Q4_K_M,
        OutputType::Q2_K,
    ]
    .map(error);
    assert_eq!(errors[0], 0.0);
    assert!(errors.windows(2).all(|pair| pair[0] < pair[1] || pair[1] == 0.0), "{errors:?}");
}
