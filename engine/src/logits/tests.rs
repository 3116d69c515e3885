use std::path::{Path, PathBuf};

use super::*;
use crate::{Adapter, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, OutputType};

const CASES: [&str; 3] = ["gemma1-micro", "gemma2-micro", "gemma3-micro"];

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(case)
}

fn base(case: &str) -> Checkpoint {
    Checkpoint::open(Arc::new(LocalFolder::open(fixture(case).join("base")).unwrap())).unwrap()
}

fn model(case: &str) -> Model {
    let adapter = Adapter::open(Arc::new(LocalFolder::open(fixture(case).join("adapter")).unwrap())).unwrap();
    Model::with_adapter(&base(case), &adapter).unwrap()
}

fn of_gguf(case: &str, exported: &Model, output: OutputType) -> Logits {
    let folder = tempfile::tempdir().unwrap();
    let plan = GgufPlan::new(exported, &GgufOptions::new(output, "x")).unwrap();
    let mut out = LocalOutput::create(folder.path()).unwrap();
    crate::gguf(&plan, "x.gguf", &mut out, &Run::default()).unwrap();
    let file = LocalFolder::open(folder.path()).unwrap();
    let file = crate::io::Folder::open(&file, "x.gguf").unwrap();
    compare_gguf(&model(case), &[file], &Run::default()).unwrap()
}

#[test]
fn a_merged_model_says_what_base_and_adapter_say() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let plan = MergePlan::new(&model(case)).unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        crate::merge(&plan, &mut out, &Run::default()).unwrap();
        let merged = Checkpoint::open(Arc::new(LocalFolder::open(folder.path()).unwrap())).unwrap();
        let logits = compare_merged(&model(case), &merged, &Run::default()).unwrap();
        assert!(logits.kl_mean < 1e-3 && logits.top1 > 0.9, "{case}: {logits:?}");
        let without = compare_merged(&model(case), &base(case), &Run::default()).unwrap();
        assert!(
            without.kl_mean > 10.0 * logits.kl_mean,
            "{case}: the base alone: {without:?}, merged: {logits:?}"
        );
    }
}

#[test]
fn the_fewer_bits_the_further_a_file_is_from_base_and_adapter() {
    for case in CASES {
        let mean = |output| of_gguf(case, &model(case), output).kl_mean;
        let (bf16, q8_0, q2_k) = (mean(OutputType::BF16), mean(OutputType::Q8_0), mean(OutputType::Q2_K));
        assert!(bf16 < 1e-3 && q8_0 < 1e-2 && q8_0 < q2_k, "{case}: {bf16} {q8_0} {q2_k}");
    }
}

#[test]
fn logits_are_those_of_transformers_and_peft() {
    let text = std::fs::read(fixture("logits.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for case in CASES {
        let numbers = |key: &str| expected[case][key].as_array().unwrap().clone();
        let ids: Vec<usize> = numbers("ids").iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let weights = Checkpointed::new(&model(case)).unwrap();
        let hyper = weights.hyper().unwrap();
        let hidden = forward::hidden(&weights, &hyper, std::slice::from_ref(&ids), &Run::default()).unwrap();
        let wanted: Vec<f64> = numbers("logits").iter().map(|n| n.as_f64().unwrap()).collect();
        let logits = distance::Side::new(&weights, hidden, &hyper).logits(0, wanted.len()).unwrap();
        let last = logits.row(ids.len() - 1).to_owned();
        let worst = last.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        let largest = wanted.iter().copied().map(f64::abs).fold(0.0, f64::max);
        assert!(worst < 1e-4 * largest, "{case}: off by {worst} where the largest is {largest}");
    }
}
