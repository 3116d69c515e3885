//! Changes of modules that the base does not have: those that are exactly zero are left out by name.

use std::fs;
use std::sync::Arc;

use engine::{Adapter, LocalFolder, Model};
use serde_json::{Value, json};

use super::support::{checkpoint, fixture, merge, run, write_tensors};

const MISSING: &str = "model.layers.5.self_attn.k_proj";

/// Gemma 4 with a LoRA on `q_proj`, and these tensors of a module that the base does not have.
fn model(fields: &Value, tensors: &[(&str, &'static [usize], Vec<f32>)]) -> engine::Result<Model> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4});
    config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
    let mut all: Vec<(String, &[usize], Vec<f32>)> = vec![
        ("model.layers.0.self_attn.q_proj.lora_A.weight".to_owned(), &[2, 64], vec![0.5; 128]),
        ("model.layers.0.self_attn.q_proj.lora_B.weight".to_owned(), &[64, 2], vec![0.5; 128]),
    ];
    if config["use_dora"] == json!(true) {
        all.push(("model.layers.0.self_attn.q_proj.lora_magnitude_vector".to_owned(), &[64], vec![1.0; 64]));
    }
    all.extend(
        tensors.iter().map(|(name, shape, values)| (format!("{MISSING}.{name}"), *shape, values.clone())),
    );
    let all: Vec<_> =
        all.iter().map(|(name, shape, values)| (name.as_str(), *shape, values.clone())).collect();
    write_tensors(&folder.path().join("adapter_model.safetensors"), &all);
    let adapter = Adapter::open(Arc::new(LocalFolder::open(folder.path()).unwrap()))?;
    Model::with_adapter(&checkpoint(&fixture("families/gemma4-dense/base")), &adapter)
}

const A: (&str, &[usize]) = ("lora_A.weight", &[2, 4]);
const B: (&str, &[usize]) = ("lora_B.weight", &[3, 2]);

fn pair(a: [f32; 8], b: [f32; 6]) -> Vec<(&'static str, &'static [usize], Vec<f32>)> {
    vec![(A.0, A.1, a.to_vec()), (B.0, B.1, b.to_vec())]
}

/// Each of the ranks has a factor of zeros on one side.
const DISJOINT: ([f32; 8], [f32; 6]) =
    ([1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 6.0, 0.0, 7.0]);

/// The products of the two ranks add up to zero.
const OPPOSITE: ([f32; 8], [f32; 6]) =
    ([1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0], [5.0, -5.0, 6.0, -6.0, 7.0, -7.0]);

#[test]
fn a_change_that_is_exactly_zero_is_dropped() {
    let none = json!({});
    let alpha = json!({"alpha_pattern": {"k_proj": 0}});
    let mut dora = pair([1.0; 8], [0.0; 6]);
    dora.push(("lora_magnitude_vector", &[3], vec![1.0; 3]));
    let mut bias = pair([0.0; 8], [1.0; 6]);
    bias.push(("lora_B.bias", &[3], vec![0.0; 3]));
    for (fields, tensors) in [
        (&none, pair([1.0; 8], [0.0; 6])),
        (&none, pair([0.0; 8], [1.0; 6])),
        (&none, pair(DISJOINT.0, DISJOINT.1)),
        (&none, pair(OPPOSITE.0, OPPOSITE.1)),
        (&alpha, pair([1.0; 8], [1.0; 6])),
        (&json!({"use_dora": true}), dora),
        (&json!({"lora_bias": true}), bias),
    ] {
        let model = model(fields, &tensors).unwrap();
        assert!(model.dropped_modules().iter().all(|module| module.starts_with(MISSING)), "{fields}");
        assert!(!model.dropped_modules().is_empty(), "{fields}");
        let folder = tempfile::tempdir().unwrap();
        let report = merge(&model, folder.path(), &run(1, 4 << 20)).report;
        assert_eq!(report.dropped_modules, model.dropped_modules());
    }
}

#[test]
fn a_change_that_is_not_zero_has_no_module() {
    let dora = json!({"use_dora": true});
    let magnitude = ("lora_magnitude_vector", &[3][..], vec![1.0; 3]);
    let with_magnitude: Vec<_> = pair([0.0; 8], [1.0; 6]).into_iter().chain([magnitude]).collect();
    for (fields, tensors) in [
        (&json!({}), pair([1.0; 8], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])),
        (&json!({}), pair([f32::NAN; 8], [0.0; 6])),
        // the magnitudes may have been trained
        (&dora, with_magnitude),
    ] {
        let error = model(fields, &tensors).unwrap_err().to_string();
        assert!(error.contains("match no tensor") && error.contains(MISSING), "{error}");
    }
}

#[test]
fn changes_that_are_zero_and_not_in_the_base_are_dropped_by_name() {
    let base = checkpoint(&fixture("families/gemma4-dense/base"));
    let adapter = LocalFolder::open(fixture("adapters/zero-pairs/adapter")).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(Arc::new(adapter)).unwrap()).unwrap();
    assert_eq!(model.dropped_modules(), ["model.layers.5.self_attn.k_proj.weight"]);
    let folder = tempfile::tempdir().unwrap();
    let outcome = merge(&model, folder.path(), &run(1, 4 << 20));
    assert_eq!(outcome.report.dropped_modules, model.dropped_modules());
    assert!(outcome.report.pairs.iter().all(|pair| pair.tensor.contains("q_proj")));
}
