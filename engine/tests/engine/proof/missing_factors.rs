//! Adapters that lack the factors of some modules that their configuration targets. PEFT names these, too ("missing adapter
//! keys").

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{Adapter, LocalFolder, MergePlan, Model};
use serde_json::{Map, Value, json};

use super::support::{checkpoint, fixture};

/// The warning of a merge of the adapter that `change` leaves in a folder.
fn warning(base: &str, adapter: &str, change: impl FnOnce(&Path)) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(fixture(adapter).join(file), folder.path().join(file)).unwrap();
    }
    change(folder.path());
    let adapter = Adapter::open(Arc::new(LocalFolder::open(folder.path()).unwrap())).unwrap();
    let model = Model::with_adapter(&checkpoint(&fixture(base)), &adapter).unwrap();
    let plan = MergePlan::new(&model).unwrap();
    let warning = plan.warnings().iter().find(|warning| warning.code == "missing_factors");
    warning.map(|warning| warning.message.clone())
}

fn without(part: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("adapter_model.safetensors");
        let file = fs::read(&path).unwrap();
        let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: Map<String, Value> = serde_json::from_slice(&file[8..start]).unwrap();
        let (mut kept, mut data) = (Map::new(), Vec::new());
        for (name, info) in header.iter().filter(|(name, _)| *name != "__metadata__" && !name.contains(part))
        {
            let at = |index: usize| start + info["data_offsets"][index].as_u64().unwrap() as usize;
            let first = data.len();
            data.extend_from_slice(&file[at(0)..at(1)]);
            let offsets = [first, data.len()];
            kept.insert(
                name.clone(),
                json!({"dtype": info["dtype"], "shape": info["shape"], "data_offsets": offsets}),
            );
        }
        assert!(kept.len() + 1 < header.len(), "no tensor is called {part}");
        let header = Value::Object(kept).to_string();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
        fs::write(path, file).unwrap();
    }
}

fn targeting(modules: Value) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("adapter_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["target_modules"] = modules;
        fs::write(path, config.to_string()).unwrap();
    }
}

#[test]
fn factors_that_were_lost_are_named() {
    for (base, adapter, part, count, name) in [
        (
            "families/gemma4-moe/base",
            "adapters/experts/adapter",
            "layers.1.experts",
            2,
            "layers.1.experts.gate_up_proj",
        ),
        (
            "families/gemma4-moe/base",
            "adapters/experts/adapter",
            "layers.1.self_attn",
            1,
            "layers.1.self_attn.q_proj",
        ),
        (
            "families/gemma4-dense/base",
            "logits/gemma4-dense/adapter",
            "layers.2.self_attn.v",
            1,
            "layers.2.self_attn.v_proj",
        ),
        ("families/gemma3n/base", "logits/gemma3n/adapter", "linear_left", 2, "layers.0.laurel.linear_left"),
        (
            "families/gemma-embedding/base",
            "logits/gemma-embedding/adapter",
            "layers.6.",
            2,
            "layers.6.mlp.down_proj",
        ),
        ("gemma3-micro/base", "adapters/multimodal/adapter", "layers.1.", 2, "layers.1.mlp.down_proj"),
    ] {
        assert_eq!(warning(base, adapter, |_| {}), None, "{adapter}");
        let message = warning(base, adapter, without(part)).unwrap();
        assert!(
            message.contains(&format!("for {count} of the modules")) && message.contains(name),
            "{message}"
        );
    }
}

/// Gemma 3n and 4 have linear modules and embeddings outside of layers; layers that use the keys and values of another have none.
#[test]
fn linear_modules_that_are_targeted_are_named_wherever_they_are() {
    let dense =
        |modules| warning("families/gemma4-dense/base", "logits/gemma4-dense/adapter", targeting(modules));
    let targets = ["down_proj", "v_proj", "per_layer_projection", "q_proj"];
    let with = |module: &str| json!([&targets[..], &[module]].concat());
    assert_eq!(dense(json!(targets)), None);
    for (module, count) in
        [("per_layer_model_projection", 1), ("embed_tokens_per_layer", 1), ("o_proj", 6), ("k_proj", 4)]
    {
        let message = dense(with(module)).unwrap();
        assert!(
            message.contains(&format!("for {count} of the modules")) && message.contains(module),
            "{message}"
        );
    }
    let all = dense(json!("all-linear")).unwrap();
    // gate_proj, up_proj, per_layer_input_gate and o_proj of six layers, k_proj of four, per_layer_model_projection
    assert!(all.contains("for 29 of the modules"), "{all}");
}
