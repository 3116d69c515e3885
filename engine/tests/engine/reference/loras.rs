//! Adapters as GGUF files of their own: whole files, and what they cannot say.

use std::collections::BTreeMap;
use std::path::Path;

use engine::{LocalOutput, LoraPlan, RunOptions, TensorType};

use super::case::{Case, sha256};

pub(crate) fn compare(fixtures: &Path) {
    let expected = std::fs::read(fixtures.join("lora.json")).unwrap();
    let expected: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&expected).unwrap();
    for (name, kinds) in &expected {
        let case = Case::open(fixtures.join(name));
        for (kind, sha) in kinds {
            let is = |t: &TensorType| t.as_str().eq_ignore_ascii_case(kind);
            let as_type = LoraPlan::TYPES.into_iter().find(is).unwrap();
            let plan = LoraPlan::new(&case.model, as_type, "adapter").unwrap();
            let folder = tempfile::tempdir().unwrap();
            let mut output = LocalOutput::create(folder.path()).unwrap();
            let written = plan.write("a.gguf", &mut output, &RunOptions::default()).unwrap();
            let bytes = std::fs::read(folder.path().join("a.gguf")).unwrap();
            assert_eq!(
                (written.size, plan.size()),
                (bytes.len() as u64, bytes.len() as u64),
                "{name}/{kind}"
            );
            assert_eq!((&written.sha256, sha), (&sha256(&bytes), &written.sha256), "{name}/{kind}");
            let report = std::fs::read(folder.path().join("a.report.json")).unwrap();
            let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
            assert_eq!(report["outputs"][0]["sha256"], *sha, "{name}/{kind}");
            assert_eq!(report["pairs"].as_array().unwrap().len(), plan.pairs(), "{name}/{kind}");
        }
    }
}

pub(crate) fn refuse(fixtures: &Path) {
    for (name, why) in [
        ("dora", "use_dora (model.layers.0.mlp.down_proj.weight)"),
        ("rslora", "use_rslora with several ranks"),
        ("embedding", "LoRA on the embedding"),
        ("head", "LoRA on lm_head.weight"),
        ("tied-factors", "LoRA on the embedding"),
        ("tokens", "trainable_token_indices"),
        ("save-norms", "modules_to_save (model.layers.0.input_layernorm.weight)"),
        ("save-head", "modules_to_save (lm_head.weight)"),
    ] {
        let case = Case::open(fixtures.join("adapters").join(name));
        let error = LoraPlan::new(&case.model, TensorType::F32, "adapter").unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains("not supported: export a GGUF of base and adapter"),
            "{name}: {error}"
        );
    }
}
