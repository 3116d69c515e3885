//! `gemma-export verify` of adapters, and of files with the names of split ones. `command.rs` has that of models.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::support::Inputs;
use crate::terminal::open_terminal;

/// Flips the lowest bit of the last byte.
fn flip(inputs: &Inputs, name: &str) {
    let mut bytes = fs::read(inputs.path(name)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(inputs.path(name), bytes).unwrap();
}

/// What `verify` prints of an export that is as it should be.
fn identical(inputs: &Inputs, verify: &str) -> String {
    let ended = inputs.run(verify);
    assert!(ended.status.success(), "{verify}: {}", String::from_utf8_lossy(&ended.stderr));
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert!(printed.contains("identical to a new export of the same inputs"), "{verify}: {printed}");
    printed
}

/// What is shown on a terminal while a command runs.
fn shown(inputs: &Inputs, args: &str) -> String {
    let (screen, terminal) = open_terminal();
    let mut command = inputs.command(args);
    command.env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null()).stderr(terminal);
    let mut child = command.spawn().unwrap();
    // has the terminal open
    drop(command);
    let shown = screen.all();
    assert!(child.wait().unwrap().success());
    shown
}

/// What `verify` prints of an export that differs.
fn differences(inputs: &Inputs, verify: &str) -> String {
    let ended = inputs.run(verify);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(7), "{stderr}");
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn the_copy_of_an_adapter_is_verified_without_a_base() {
    let inputs = Inputs::new();
    let verify = "verify --adapter adapter --out copied";
    for base in ["", " --base google/gemma-3-4b-it"] {
        inputs.succeed(&format!("adapter --adapter adapter --out copied --force{base}"));
        for base in ["", " --base base", base] {
            identical(&inputs, &format!("{verify}{base}"));
        }
        let printed: Value = serde_json::from_slice(&inputs.run(&format!("{verify} --json")).stdout).unwrap();
        assert_eq!((&printed["identical"], &printed["report_compared"]), (&true.into(), &true.into()));
        assert_eq!((&printed["files"], &printed["tensors"]), (&2.into(), &Value::Null));
        assert_eq!(printed["expected_report"]["kind"], "adapter");
    }
    assert!(
        differences(&inputs, &format!("{verify} --base google/gemma-3-1b-it"))
            .contains("adapter_config.json")
    );
    inputs.fail(2, "verify --base base --out copied", &["give --adapter, of which it is a copy"]);
    inputs.fail(2, &format!("{verify} --logits"), &["predicts no tokens", "omit --logits"]);

    flip(&inputs, "copied/adapter_model.safetensors");
    let found = differences(&inputs, verify);
    assert!(found.contains("\u{2717} adapter_model.safetensors differs in 1 of"), "{found}");
    fs::write(inputs.path("copied/adapter_config.json"), "{").unwrap();
    fs::write(inputs.path("copied/more.safetensors"), "").unwrap();
    fs::remove_file(inputs.path("copied/adapter_model.safetensors")).unwrap();
    let found = differences(&inputs, verify);
    for problem in [
        "adapter_config.json is 1 bytes",
        "adapter_model.safetensors is missing",
        "more.safetensors is not a file",
    ] {
        assert!(found.contains(problem), "{problem}: {found}");
    }
}

#[test]
fn an_adapter_as_gguf_is_verified_with_its_type_and_names() {
    let inputs = Inputs::new();
    let verify = "verify --base base --adapter adapter --out l.gguf";
    for options in ["--quant f32", "--quant bf16 --name Town", "--quant q8_0 --name ada/town-270m-v2"] {
        inputs.succeed(&format!("lora --base base --adapter adapter --out l.gguf {options}"));
        identical(&inputs, verify);
        let name = options.split_once("--name").map(|(_, name)| format!(" --name{name}")).unwrap_or_default();
        identical(&inputs, &format!("{verify}{name}"));
        let found = differences(&inputs, &format!("{verify} --name other"));
        assert!(found.contains("general.name"), "{found}");
        flip(&inputs, "l.gguf");
        let found = differences(&inputs, verify);
        assert!(found.contains("\u{2717} l.gguf differs in 1 of"), "{found}");
        fs::write(inputs.path("l.report.json"), "{}").unwrap();
        assert!(differences(&inputs, verify).contains("\u{2717} l.report.json differs at /"));
        fs::remove_file(inputs.path("l.report.json")).unwrap();
        let found = differences(&inputs, verify);
        assert!(found.contains("in 1 file\n  report   not found"), "{found}");
        fs::remove_file(inputs.path("l.gguf")).unwrap();
    }
    inputs.succeed("lora --base base --adapter adapter --out l.gguf");
    inputs.fail(2, &format!("{verify} --survival"), &["an adapter as GGUF", "predicts no tokens"]);
    inputs.refuse("verify --base base --out l.gguf", &["has no adapter that could be a file"]);
}

#[test]
fn a_file_with_the_name_of_a_part_is_verified_alone() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --adapter adapter --out m-00001-of-00003.gguf");
    let verified = identical(&inputs, "verify --base base --adapter adapter --out m-00001-of-00003.gguf");
    assert!(verified.contains("in 2 files") && verified.contains("report   compared"), "{verified}");
}

#[test]
fn a_file_that_a_loader_reads_besides_those_of_the_model_differs() {
    let inputs = Inputs::new();
    let verify = "verify --base base --adapter adapter --out merged";
    inputs.succeed("merge --base base --adapter adapter --out merged");
    fs::write(inputs.path("merged/notes.md"), "x").unwrap();
    identical(&inputs, verify);
    fs::create_dir(inputs.path("merged/additional_chat_templates")).unwrap();
    for name in [
        "chat_template.json",
        "added_tokens.json",
        "adapter_config.json",
        "adapter_model.safetensors",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "additional_chat_templates/tool.jinja",
    ] {
        let path = inputs.path("merged").join(name);
        if path.exists() {
            continue;
        }
        fs::write(&path, "{}").unwrap();
        let found = differences(&inputs, verify);
        assert!(found.contains(&format!("{name} is not a file of this model")), "{name}: {found}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_adapter_that_was_forgotten_or_is_too_much_is_named() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --adapter adapter --out with.gguf --name m");
    inputs.succeed("gguf --base base --adapter adapter --out split.gguf --split-max-size 300K");
    inputs.succeed("gguf --base base --out without.gguf --name m");
    let part = fs::read_dir(inputs.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let part = part.map(|name| name.into_string().unwrap()).find(|name| name.starts_with("split-00002-of-"));
    let forgotten = "differences: the export was made with an adapter: give it as --adapter";
    inputs.fail(7, "verify --base base --out with.gguf", &[forgotten]);
    inputs.fail(7, &format!("verify --base base --out {}", part.unwrap()), &[forgotten]);
    let printed = inputs.run("verify --base base --out with.gguf --json").stdout;
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    assert!(printed["error"]["message"].as_str().unwrap().ends_with(forgotten));
    let surplus = "differences: the export was made without an adapter: omit --adapter";
    inputs.fail(7, "verify --base base --adapter adapter --out without.gguf", &[surplus]);
    // before the comparison, and not only after its lines
    let told = inputs.run("verify --base base --out with.gguf").stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(
        told.starts_with("warning: the export was made with an adapter: give it as --adapter\n"),
        "{told}"
    );
    inputs.succeed("merge --base base --adapter adapter --out merged");
    let of_merged = "verify --base base --out merged";
    let told = "error: merged: the export was made with an adapter: give it as --adapter";
    inputs.fail(2, of_merged, &[told]);
    inputs.fail(2, &format!("{of_merged} --survival"), &[told]);
    fs::remove_file(inputs.path("merged/export-report.json")).unwrap();
    inputs.fail(2, of_merged, &["merged: a merged model is compared with base and adapter: give --adapter"]);
    flip(&inputs, "with.gguf");
    let changed = inputs.run("verify --base base --adapter adapter --out with.gguf").stderr;
    assert!(String::from_utf8(changed).unwrap().ends_with("1 difference\n"));
}

#[test]
fn the_passes_over_an_adapter_have_one_total() {
    let inputs = Inputs::new();
    inputs.succeed("lora --base base --adapter adapter --out l.gguf");
    let shown = shown(&inputs, "verify --base base --adapter adapter --out l.gguf --allow-non-finite");
    let size = |name| fs::metadata(inputs.path(name)).unwrap().len();
    let total = size("adapter/adapter_model.safetensors") + size("l.gguf");
    let total = format!(" of {:.2} kB ", total as f64 / 1e3);
    assert!(shown.contains(&total), "{shown:?} has no {total:?}");
    assert_eq!(shown.matches(" of ").count(), shown.matches(&total).count(), "{shown:?}");
}
