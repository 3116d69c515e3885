//! Bases whose weights lie on a 4-bit grid, as quantization-aware training leaves them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{
    Adapter, ExportedModel, Folder as _, GgufOptions, GgufPlan, LocalFolder, Model, OutputType, PromptSet,
    RunOptions,
};
use serde_json::Value;

use super::support::{checkpoint, fixture, json};

const BLOCK: usize = 32;

/// Copies of a base and its adapter. The weights of the base's matrices are `level` times a step of their block, in bf16, and the
/// largest level is 6 or 7.
fn on_grid(folder: &Path) {
    for part in ["base", "adapter"] {
        fs::create_dir(folder.join(part)).unwrap();
        for entry in fs::read_dir(fixture("gemma3-micro").join(part)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut random = fastrand::Rng::with_seed(1);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let path = folder.join("base").join(shard);
        let mut file = fs::read(&path).unwrap();
        let data = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&file[8..data]).unwrap();
        let is_matrix = |about: &Value| about["shape"].as_array().is_some_and(|shape| shape.len() == 2);
        for about in header.as_object().unwrap().values().filter(|about| is_matrix(about)) {
            let at = |end: usize| data + about["data_offsets"][end].as_u64().unwrap() as usize;
            for block in file[at(0)..at(1)].chunks_mut(2 * BLOCK) {
                let (step, largest) = (0.001 + random.u32(..1000) as f32 * 1e-5, random.i32(6..=7));
                for (i, weight) in block.chunks_exact_mut(2).enumerate() {
                    let level = if i == 0 { largest } else { random.i32(-largest..=largest) };
                    // rounded to bf16, ties away from zero
                    let bits = (step * level as f32).to_bits() + 0x8000;
                    weight.copy_from_slice(&((bits >> 16) as u16).to_le_bytes());
                }
            }
        }
        fs::write(&path, file).unwrap();
    }
}

fn written(plan: &GgufPlan, folder: &Path) -> (Vec<u8>, Value) {
    let mut output = engine::LocalOutput::create(folder).unwrap();
    engine::gguf(plan, "m.gguf", &mut output, &RunOptions::default()).unwrap();
    (fs::read(folder.join("m.gguf")).unwrap(), json(&folder.join("m.report.json")))
}

fn options() -> GgufOptions {
    GgufOptions::new(OutputType::Q4_0, "m")
}

/// The errors of the tensors in Q4_0, relative to the mean step.
fn largest_error(report: &Value) -> f64 {
    let tensors = report["tensors"].as_array().unwrap().iter();
    let stored = tensors.filter(|tensor| tensor["stored"]["type"] == "Q4_0");
    stored.map(|tensor| tensor["stored"]["rmse"].as_f64().unwrap()).fold(0.0, f64::max)
}

#[test]
fn q4_0_takes_the_grid_of_the_weights() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    on_grid(folder.path());
    let model = Model::new(&checkpoint(&folder.path().join("base")));
    let (_, report) = written(&GgufPlan::new(&model, &options()).unwrap(), out.path());
    assert_eq!(report["options"]["qat"], "grid");
    let (_, reference) = written(&GgufPlan::new(&model, &options().without_grid()).unwrap(), out.path());
    assert_eq!(reference["options"]["qat"], Value::Null);
    let (on_grid, reference) = (largest_error(&report), largest_error(&reference));
    assert!(on_grid * 10.0 < reference && reference > 5e-4, "{on_grid} {reference}");
    // an importance matrix does not move weights off their grid, and other types have no such grid
    let q8_0 = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "m")).unwrap();
    assert_eq!(written(&q8_0, out.path()).1["options"]["qat"], Value::Null);
}

#[test]
fn a_base_without_a_grid_has_the_bytes_of_llama_quantize() {
    let out = tempfile::tempdir().unwrap();
    let model = Model::new(&checkpoint(&fixture("gemma3-micro/base")));
    let (found, report) = written(&GgufPlan::new(&model, &options()).unwrap(), out.path());
    let (reference, _) = written(&GgufPlan::new(&model, &options().without_grid()).unwrap(), out.path());
    assert!(found == reference);
    assert_eq!(report["options"]["qat"], Value::Null);
}

#[test]
fn an_adapter_moves_its_targets_off_the_grid() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    on_grid(folder.path());
    let adapter = Arc::new(LocalFolder::open(folder.path().join("adapter")).unwrap());
    let base = checkpoint(&folder.path().join("base"));
    let model = Model::with_adapter(&base, &Adapter::open(adapter).unwrap()).unwrap();
    let plan = GgufPlan::new(&model, &options()).unwrap();
    let warning = plan.warnings().iter().find(|warning| warning.code == "moved_off_grid").unwrap();
    assert!(
        warning.message.contains("the adapter as a GGUF of its own") && warning.message.contains("--lora"),
        "{warning:?}"
    );
    let (found, _) = written(&plan, out.path());
    let file = LocalFolder::open(out.path()).unwrap().open("m.gguf").unwrap();
    let (run, prompts) = (RunOptions::default(), PromptSet::fixed());
    let with_base = plan.base_on_grid().unwrap();
    let (measured, beside) = engine::measure_survival_beside(
        &model,
        &[ExportedModel::Gguf(vec![file])],
        with_base,
        &prompts,
        &run,
    )
    .unwrap();
    let (in_file, beside) = (measured[0].survival.unwrap(), beside.unwrap().survival.unwrap());
    assert!(beside > 0.99 && beside > in_file, "{beside} {in_file}");
    let (reference, report) = written(&GgufPlan::new(&model, &options().without_grid()).unwrap(), out.path());
    let targets = report["tensors"].as_array().unwrap().iter().filter(|tensor| tensor["effect"] != "none");
    let in_4_bits = targets.filter(|tensor| tensor["stored"]["type"] == "Q4_0").count();
    assert!(in_4_bits > 0);
    assert!(warning.message.contains(&format!("moves {in_4_bits} tensors")), "{warning:?}");
    let differs = found.iter().zip(&reference).any(|(a, b)| a != b);
    let untouched_in_4_bits = report["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .any(|tensor| tensor["effect"] == "none" && tensor["stored"]["type"] == "Q4_0");
    assert_eq!(differs, untouched_in_4_bits);
}
