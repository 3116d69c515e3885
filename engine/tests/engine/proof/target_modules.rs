//! Adapters with factors for modules that their configuration does not target: PEFT ignores those factors.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{
    Adapter, GgufOptions, GgufPlan, LocalFolder, LocalOutput, LoraPlan, Model, OutputType, TensorType,
};
use serde_json::{Value, json};

use super::support::{checkpoint, fixture, merge, run, write_tensors};

/// A base, and its adapter of q_proj and down_proj with other fields in its configuration.
fn model(folder: &Path, fields: &Value) -> engine::Result<Model> {
    let case = fixture("adapters/multimodal/adapter");
    fs::copy(case.join("adapter_model.safetensors"), folder.join("adapter_model.safetensors")).unwrap();
    let config = fs::read(case.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    for (field, value) in fields.as_object().unwrap() {
        config[field] = value.clone();
    }
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let adapter = Adapter::open(Arc::new(LocalFolder::open(folder).unwrap()))?;
    Model::with_adapter(&checkpoint(&fixture("gemma3-micro/base")), &adapter)
}

fn pairs(model: &Model) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let report = merge(model, folder.path(), &run(1, 4 << 20)).report;
    report.pairs.iter().map(|pair| pair.tensor.clone()).collect()
}

#[test]
fn factors_of_other_modules_are_left_out_by_name() {
    for (fields, kept) in [
        (json!({"target_modules": ["q_proj"]}), "q_proj"),
        (json!({"target_modules": ".*q_proj"}), "q_proj"),
        (json!({"exclude_modules": ["down_proj"]}), "q_proj"),
        (json!({"layers_to_transform": [1]}), "layers.1."),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path(), &fields).unwrap();
        assert_eq!(model.untargeted_modules().len(), 2, "{fields}");
        let pairs = pairs(&model);
        assert!(pairs.len() == 2 && pairs.iter().all(|tensor| tensor.contains(kept)), "{fields} {pairs:?}");
        let gguf = GgufPlan::new(&model, &GgufOptions::new(OutputType::BF16, "my-model")).unwrap();
        let lora = LoraPlan::new(&model, TensorType::F16, "my-lora").unwrap();
        assert_eq!(lora.pairs(), 2);
        for warnings in [gguf.warnings(), lora.warnings()] {
            let warning = warnings.iter().find(|warning| warning.code == "untargeted_modules").unwrap();
            assert!(warning.message.contains(&model.untargeted_modules()[0]), "{}", warning.message);
        }
    }
}

/// PEFT initializes and names such modules ("missing adapter keys").
#[test]
fn targeted_modules_without_factors_are_named_in_a_warning() {
    for (fields, missing) in [
        (json!({}), None),
        (json!({"target_modules": ".*q_proj|.*down_proj"}), None),
        (json!({"target_modules": null}), None),
        (json!({"target_modules": ["q_proj", "down_proj", "v_proj"], "exclude_modules": ["v_proj"]}), None),
        (json!({"target_modules": ["q_proj", "down_proj", "input_layernorm"]}), None),
        (
            json!({"target_modules": ["q_proj", "down_proj", "v_proj"]}),
            Some((2, "layers.0.self_attn.v_proj")),
        ),
        (json!({"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [1]}), Some((1, "layers.1."))),
        (
            json!({"target_modules": r"model\.language_model\.layers\.0\.mlp\..*"}),
            Some((2, "layers.0.mlp.gate_proj")),
        ),
        (json!({"target_modules": ["q_proj", "down_proj", "embed_tokens"]}), Some((1, "embed_tokens"))),
        (json!({"target_modules": "all-linear"}), Some((10, "layers.0.mlp.gate_proj"))),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path(), &fields).unwrap();
        let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::BF16, "my-model")).unwrap();
        let warning = plan.warnings().iter().find(|warning| warning.code == "missing_factors");
        match (missing, warning) {
            (None, None) => {}
            (Some((count, name)), Some(warning)) => assert!(
                warning.message.contains(&format!("for {count} of the modules"))
                    && warning.message.contains(name),
                "{fields} {}",
                warning.message
            ),
            _ => panic!("{fields} {warning:?}"),
        }
    }
}

#[test]
fn a_configuration_may_have_the_names_of_another_generation() {
    for targets in [
        json!(r"model\.language_model\.layers.*"),
        json!(r"language_model\.model\.layers.*"),
        json!(r"^(model\.language_model(?=\.).*\.(q_proj|down_proj))$"),
        json!(r"model\.layers.*"),
        json!("all-linear"),
        json!(null),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path(), &json!({"target_modules": targets})).unwrap();
        assert!(model.untargeted_modules().is_empty() && pairs(&model).len() == 4, "{targets}");
    }
}

#[test]
fn an_adapter_without_a_targeted_module_is_refused() {
    for fields in [json!({"target_modules": "q_proj"}), json!({"exclude_modules": ".*"})] {
        let folder = tempfile::tempdir().unwrap();
        let error = model(folder.path(), &fields).unwrap_err().to_string();
        assert!(
            error.contains("adapter_config.json") && error.contains("targets none of the modules"),
            "{error}"
        );
    }
}

#[test]
fn a_saved_module_has_its_weights_in_every_layer() {
    let saved = |layers: &[usize], names: Value| {
        let folder = tempfile::tempdir().unwrap();
        let base = checkpoint(&fixture("gemma3-micro/base"));
        let norms: Vec<(String, usize)> = layers
            .iter()
            .flat_map(|layer| {
                ["q_norm", "k_norm"].map(|norm| format!("layers.{layer}.self_attn.{norm}.weight"))
            })
            .map(|end| base.tensors().iter().find(|tensor| tensor.name.ends_with(&end)).unwrap())
            .map(|tensor| (format!("base_model.model.{}", tensor.name), tensor.elements() as usize))
            .collect();
        let shapes: Vec<[usize; 1]> = norms.iter().map(|(_, length)| [*length]).collect();
        let tensors = norms.iter().zip(&shapes);
        let tensors: Vec<(&str, &[usize], Vec<f32>)> =
            tensors.map(|((name, length), shape)| (name.as_str(), &shape[..], vec![0.5; *length])).collect();
        write_tensors(&folder.path().join("adapter_model.safetensors"), &tensors);
        let config = json!({"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "modules_to_save": names});
        fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        let adapter = Adapter::open(Arc::new(LocalFolder::open(folder.path()).unwrap()));
        adapter.and_then(|adapter| Model::with_adapter(&base, &adapter)).map_err(|error| error.to_string())
    };
    let layers: Vec<usize> = (0..8)
        .filter(|layer| {
            let name = format!("layers.{layer}.self_attn.q_norm.weight");
            let base = checkpoint(&fixture("gemma3-micro/base"));
            base.tensors().iter().any(|tensor| tensor.name.ends_with(&name))
        })
        .collect();
    assert!(layers.len() > 1);
    saved(&layers, json!(["q_norm", "k_norm"])).unwrap();
    let error = saved(&[0], json!(["q_norm", "k_norm"])).unwrap_err();
    assert!(error.contains("modules_to_save") && error.contains("layers.1.self_attn."), "{error}");
}

#[test]
fn saved_modules_that_do_not_exist_are_named_in_a_warning() {
    let saved = |names: Value, fields: Value| {
        let folder = tempfile::tempdir().unwrap();
        let mut all = json!({"modules_to_save": names});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        model(folder.path(), &all).map_err(|error| error.to_string())
    };
    for (names, fields) in
        [(json!(["router"]), json!({})), (json!(["classifier", "score"]), json!({"task_type": "SEQ_CLS"}))]
    {
        let model = saved(names.clone(), fields).unwrap();
        let gguf = GgufPlan::new(&model, &GgufOptions::new(OutputType::BF16, "m")).unwrap();
        let warnings = gguf.warnings();
        let warning = warnings.iter().find(|warning| warning.code == "absent_saved_modules").unwrap();
        for name in names.as_array().unwrap() {
            assert!(warning.message.contains(name.as_str().unwrap()), "{}", warning.message);
        }
    }
    for name in ["embed_tokens", "norm", "lm_head", "language_model.norm", "mlp"] {
        let error = saved(json!(["router", name]), json!({})).unwrap_err();
        assert!(error.contains(&format!("names {name} in modules_to_save")), "{error}");
    }
}

#[test]
fn factors_that_are_scaled_to_zero_are_counted_as_zero() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), &json!({"alpha_pattern": {"q_proj": 0}})).unwrap();
    let out = tempfile::tempdir().unwrap();
    let summary = merge(&model, out.path(), &run(1, 4 << 20)).report.summary;
    assert_eq!((summary.tensors_zero, summary.tensors_changed), (2, 2));
}

#[test]
fn an_adapter_without_effect_is_no_file_beside_its_base() {
    let [folder, out] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let weights = folder.path().join("adapter_model.safetensors");
    model(folder.path(), &json!({})).unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[data..].fill(0);
    fs::write(&weights, bytes).unwrap();
    let adapter = Adapter::open(Arc::new(LocalFolder::open(folder.path()).unwrap())).unwrap();
    let model = Model::with_adapter(&checkpoint(&fixture("gemma3-micro/base")), &adapter).unwrap();
    let plan = LoraPlan::new(&model, TensorType::F16, "my-lora").unwrap();
    let mut output = LocalOutput::create(out.path()).unwrap();
    let error = plan.write("a.gguf", &mut output, &run(1, 4 << 20)).unwrap_err().to_string();
    assert!(error.contains("changes nothing"), "{error}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}
