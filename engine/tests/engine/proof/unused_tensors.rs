//! Tensors that a checkpoint has and its model does not use: named, and checked as far as transformers loads them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{Adapter, GgufOptions, GgufPlan, LocalFolder, MergePlan, Model, OutputType, RunOptions};
use serde_json::json;

use super::support::{checkpoint, fixture, json, write_tensors};

/// A Gemma 3 whose vision encoder has a pooling head, as SigLIP's checkpoints do.
fn with_pooling_head(vision_use_head: bool, folder: &Path) -> Model {
    let base = fixture("families/gemma3-vision/base");
    for entry in fs::read_dir(&base).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let mut config = json(&base.join("config.json"));
    config["vision_config"]["vision_use_head"] = json!(vision_use_head);
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    Model::new(&checkpoint(folder))
}

/// Gives a tensor of the head the shape of another size.
fn shrink_probe(folder: &Path) {
    let path = folder.join("model.safetensors");
    let (wrong, right) = (br#""shape":[48,1,1]"#, br#""shape":[1,1,48]"#);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(right.len()).position(|window| window == right).unwrap();
    bytes[at..at + right.len()].copy_from_slice(wrong);
    fs::write(path, bytes).unwrap();
}

fn codes(warnings: &[engine::report::ExportWarning]) -> Vec<(&str, &str)> {
    warnings.iter().map(|warning| (warning.code, warning.message.as_str())).collect()
}

#[test]
fn a_merge_names_a_pooling_head_that_transformers_ignores() {
    for (vision_use_head, is_ignored) in [(true, false), (false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let plan = MergePlan::own_files(&with_pooling_head(vision_use_head, folder.path())).unwrap();
        let warnings = codes(plan.warnings());
        let named = warnings.iter().any(|(code, message)| {
            *code == "unused_tensors"
                && message.contains("vision_config.vision_use_head false")
                && message.contains("vision_tower.head.attention.in_proj_bias")
        });
        assert_eq!(named, is_ignored, "{warnings:?}");
    }
}

#[test]
fn a_pooling_head_of_another_shape_is_refused_where_transformers_loads_it() {
    for (vision_use_head, is_refused) in [(true, true), (false, false)] {
        let folder = tempfile::tempdir().unwrap();
        let model = with_pooling_head(vision_use_head, folder.path());
        shrink_probe(folder.path());
        let model = Model::new(&checkpoint(Path::new(model.base().location())));
        let options = GgufOptions::new(OutputType::F16, "m");
        for error in [MergePlan::own_files(&model).err(), GgufPlan::mmproj(&model, &options).err()] {
            let text = error.map(|error| error.to_string());
            let says = text.as_ref().is_some_and(|text| {
                text.contains("vision_tower.head.probe") && text.contains("config.json requires [1, 1, 48]")
            });
            assert_eq!((says, text.is_some()), (is_refused, is_refused), "{text:?}");
        }
    }
}

#[test]
fn an_mmproj_file_leaves_the_pooling_head_out_and_its_report_says_so() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = with_pooling_head(true, folder.path());
    let plan = GgufPlan::mmproj(&model, &GgufOptions::new(OutputType::F16, "m")).unwrap();
    let mut output = engine::LocalOutput::create(out.path()).unwrap();
    engine::gguf(&plan, "mmproj.gguf", &mut output, &RunOptions::default()).unwrap();
    let report = json(&out.path().join("mmproj.report.json"));
    let warning = &report["warnings"][0];
    assert_eq!(warning["code"], "unused_tensors");
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains("pooling head") && message.contains("vision_tower.head."), "{message}");
}

#[test]
fn a_file_of_the_language_model_leaves_changes_of_the_pooling_head_out_by_name() {
    let (base, adapter) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let base = with_pooling_head(true, base.path());
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "fc1"]});
    fs::write(adapter.path().join("adapter_config.json"), config.to_string()).unwrap();
    let q_proj = "model.language_model.layers.0.self_attn.q_proj";
    let tensor =
        |name: &str| base.base().tensors().iter().find(|tensor| tensor.name.ends_with(name)).unwrap();
    let shapes = [tensor("layers.0.self_attn.q_proj.weight"), tensor("head.mlp.fc1.weight")]
        .map(|tensor| tensor.shape.clone());
    for (module, is_in_file) in [
        ("model.vision_tower.vision_model.head.mlp.fc1", false),
        ("model.vision_tower.vision_model.encoder.layers.0.mlp.fc1", true),
    ] {
        let factors: Vec<(String, [usize; 2])> = [(q_proj, &shapes[0]), (module, &shapes[1])]
            .iter()
            .flat_map(|(module, shape)| {
                let [rows, columns] = [shape[0] as usize, shape[1] as usize];
                let factor = |name: &str| format!("base_model.model.{module}.{name}.weight");
                [(factor("lora_A"), [2, columns]), (factor("lora_B"), [rows, 2])]
            })
            .collect();
        let factors: Vec<(&str, &[usize], Vec<f32>)> = factors
            .iter()
            .map(|(name, shape)| (name.as_str(), &shape[..], vec![0.5; shape[0] * shape[1]]))
            .collect();
        write_tensors(&adapter.path().join("adapter_model.safetensors"), &factors);
        let adapter = Adapter::open(Arc::new(LocalFolder::open(adapter.path()).unwrap())).unwrap();
        let model = Model::with_adapter(base.base(), &adapter).unwrap();
        match GgufPlan::new(&model, &GgufOptions::new(OutputType::F16, "m")) {
            Ok(plan) => {
                assert!(!is_in_file, "{module}");
                let warnings = codes(plan.warnings());
                let named = warnings
                    .iter()
                    .any(|(code, message)| *code == "unused_tensors" && message.contains("head.mlp.fc1"));
                assert!(named, "{warnings:?}");
            }
            Err(error) => {
                assert!(is_in_file && error.to_string().contains("make an mmproj file too"), "{error}");
            }
        }
    }
}
