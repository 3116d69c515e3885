//! `gemma-export adapter`: an adapter as it is.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Inputs;

const COPY: &str = "adapter --adapter adapter --out copied";
const COPIED: [&str; 4] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "additional_chat_templates",
    "tokenizer_config.json",
];

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// An adapter with a tokenizer, and with what a trainer leaves beside it.
fn trained() -> Inputs {
    let inputs = Inputs::new();
    let adapter = inputs.path("adapter");
    fs::copy(inputs.path("base/tokenizer_config.json"), adapter.join("tokenizer_config.json")).unwrap();
    for folder in ["additional_chat_templates", "checkpoint-1"] {
        fs::create_dir(adapter.join(folder)).unwrap();
    }
    for name in [
        "additional_chat_templates/tool.jinja",
        "additional_chat_templates/tool.py",
        "checkpoint-1/adapter_model.safetensors",
        ".env",
        "adapter_model.bin",
        "optimizer.pt",
        "trainer_state.json",
        "README.md",
    ] {
        fs::write(adapter.join(name), "{}").unwrap();
    }
    inputs
}

#[test]
fn the_files_that_others_need_are_copied_byte_for_byte_with_a_report() {
    let inputs = trained();
    let ended = inputs.run(&format!("{COPY} --json"));
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    let (adapter, copied) = (inputs.path("adapter"), inputs.path("copied"));
    assert_eq!(names(&copied), [&COPIED[..3], &["export-report.json"], &COPIED[3..]].concat());
    assert_eq!(names(&copied.join("additional_chat_templates")), ["tool.jinja"]);
    for name in ["adapter_config.json", "adapter_model.safetensors", "tokenizer_config.json"] {
        assert!(fs::read(copied.join(name)).unwrap() == fs::read(adapter.join(name)).unwrap(), "{name}");
    }
    let printed: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let (export, report) = (&printed["exports"][0], json(&copied.join("export-report.json")));
    assert_eq!((&export["path"], &export["report"]), (&"copied".into(), &report));
    assert_eq!((&report["kind"], printed["findings"].as_array().unwrap().len()), (&"adapter".into(), 0));
    assert_eq!(report["outputs"].as_array().unwrap().len(), 4);
    assert_eq!(report["inputs"]["adapter"], report["outputs"]);
    let next = "vllm serve google/gemma-3-1b-it --enable-lora --lora-modules copied=copied";
    assert_eq!(export["next_steps"], serde_json::json!([next]));
    // what is made of the copy is what is made of the adapter
    inputs.succeed("merge --base base --adapter adapter --out one");
    inputs.succeed("merge --base base --adapter copied --out other");
    let weights =
        |folder: &str| fs::read(inputs.path(folder).join("model-00001-of-00002.safetensors")).unwrap();
    assert!(weights("one") == weights("other"));
}

#[test]
fn the_base_model_can_be_named_for_others() {
    let inputs = trained();
    let config = inputs.path("adapter/adapter_config.json");
    let mut named = json(&config);
    named["base_model_name_or_path"] = "/mnt/disks/gemma".into();
    fs::write(&config, named.to_string()).unwrap();
    let warned = inputs.succeed(COPY);
    assert!(
        warned.contains("\"/mnt/disks/gemma\", which is no name") && warned.contains("--base"),
        "{warned}"
    );
    assert!(fs::read(inputs.path("copied/adapter_config.json")).unwrap() == fs::read(&config).unwrap());
    inputs.fail(2, &format!("{COPY} --force --push ada/x"), &["give --base owner/name"]);
    inputs.fail(2, &format!("{COPY} --force --base gemma"), &["--base gemma", "give owner/name"]);
    inputs.fail(5, &format!("{COPY} --base google/gemma-3-1b-it"), &["is not empty", "--force"]);
    assert_eq!(inputs.succeed(&format!("{COPY} --base google/gemma-3-1b-it --force")), "");
    named["base_model_name_or_path"] = "google/gemma-3-1b-it".into();
    assert_eq!(json(&inputs.path("copied/adapter_config.json")), named);
    let report = json(&inputs.path("copied/export-report.json"));
    assert_ne!(report["inputs"]["adapter"][0]["sha256"], report["outputs"][0]["sha256"]);
}

#[test]
fn what_cannot_be_copied_is_refused_before_anything_is_written() {
    let inputs = trained();
    inputs.fail(2, "adapter --adapter adapter", &["--out <DIR>", "--push <OWNER/NAME>"]);
    inputs.refuse("adapter --adapter base --out copied", &["is a full model, not an adapter"]);
    inputs.refuse("adapter --adapter missing --out copied", &["missing does not exist"]);
    inputs.fail(5, "adapter --adapter adapter --out adapter --force", &["is an input of this export"]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    fs::write(inputs.path("adapter/tokenizer.json"), pointer).unwrap();
    inputs.refuse(COPY, &["tokenizer.json", "Git LFS pointer", "git lfs pull"]);
    assert!(!inputs.path("copied").exists());
}

#[test]
fn values_that_are_not_finite_are_copied_with_a_finding() {
    let inputs = trained();
    let weights = inputs.path("adapter/adapter_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, &bytes).unwrap();
    let warned = inputs.succeed(COPY);
    assert!(
        warned.contains("warning: the adapter has values ") && warned.contains("adapter_not_finite"),
        "{warned}"
    );
    assert!(fs::read(inputs.path("copied/adapter_model.safetensors")).unwrap() == bytes);
    let report = json(&inputs.path("copied/export-report.json"));
    assert_eq!(report["findings"][0]["code"], "adapter_not_finite");
    assert_eq!(inputs.succeed(&format!("{COPY} --force --quiet")), "");
}
