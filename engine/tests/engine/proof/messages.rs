//! Adapters that are refused: what the message says is wrong, and what to do.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{Adapter, GgufOptions, GgufPlan, LocalFolder, Model, OutputType};
use serde_json::json;

use super::support::{checkpoint, fixture, write_tensors};

fn error(folder: &Path) -> String {
    Adapter::open(Arc::new(LocalFolder::open(folder).unwrap())).unwrap_err().to_string()
}

fn write_config(folder: &Path, fields: &serde_json::Value) {
    fs::write(folder.join("adapter_config.json"), fields.to_string()).unwrap();
}

#[test]
fn a_scaling_of_zero_is_that_of_its_field() {
    for (fields, field) in [
        (json!({"lora_alpha": 0}), "lora_alpha"),
        (json!({"lora_alpha": 8, "alpha_pattern": {".*": 0}}), "alpha_pattern"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({"peft_type": "LORA", "r": 1});
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        write_config(folder.path(), &config);
        let factors: [(&str, &[usize], Vec<f32>); 2] =
            [("x.lora_A.weight", &[1, 2], vec![1.0; 2]), ("x.lora_B.weight", &[2, 1], vec![1.0; 2])];
        write_tensors(&folder.path().join("adapter_model.safetensors"), &factors);
        let error = error(folder.path());
        assert!(
            error.contains(&format!("has {field} 0")) && error.contains(&format!("set {field}")),
            "{error}"
        );
    }
}

#[test]
fn weights_of_mlx_are_named_with_and_without_a_configuration() {
    for has_config in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        if has_config {
            write_config(folder.path(), &json!({"peft_type": "LORA", "r": 1, "lora_alpha": 1}));
        }
        write_tensors(&folder.path().join("adapters.safetensors"), &[("x.lora_a", &[2, 1], vec![1.0; 2])]);
        let error = error(folder.path());
        assert!(error.contains("adapters.safetensors: an adapter of MLX is not supported"), "{error}");
    }
}

#[test]
fn factors_of_a_convolution_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), &json!({"peft_type": "LORA", "r": 1, "lora_alpha": 1}));
    let factors: [(&str, &[usize], Vec<f32>); 2] =
        [("x.lora_A.weight", &[1, 3, 2, 2], vec![1.0; 12]), ("x.lora_B.weight", &[2, 1, 1, 1], vec![1.0; 2])];
    write_tensors(&folder.path().join("adapter_model.safetensors"), &factors);
    let error = error(folder.path());
    assert!(error.contains("x.lora_A.weight") && error.contains("LoRA on a convolution"), "{error}");
}

#[test]
fn a_class_without_gguf_may_be_merged() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("gemma3-micro/base")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Gemma3ForCausalLM", "VaultGemmaForCausalLM")).unwrap();
    let model = Model::new(&checkpoint(folder.path()));
    let planned = GgufPlan::new(&model, &GgufOptions::new(OutputType::F16, "m"));
    let error = planned.unwrap_err().to_string();
    assert!(
        error.contains("GGUF for VaultGemmaForCausalLM") && error.contains("export the merged checkpoint"),
        "{error}"
    );
}
