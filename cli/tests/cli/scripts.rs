//! What a script sees: one JSON object, the exit status of each kind of failure, and messages on standard error only.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::Inputs;

const MODEL: &str = "--base base --adapter adapter";

/// The object on standard output, with nothing before or after it.
fn object(ended: &Output) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[test]
fn json_has_every_figure_of_the_report() {
    let inputs = Inputs::new();
    for (args, reports) in [
        (format!("merge {MODEL} --out merged"), vec!["merged/export-report.json"]),
        (
            format!("gguf {MODEL} --quant q8_0,q4_k_m --out m-{{quant}}.gguf"),
            vec!["m-q8_0.report.json", "m-q4_k_m.report.json"],
        ),
        (format!("lora {MODEL} --out l.gguf"), vec!["l.report.json"]),
    ] {
        let ended = inputs.run(&format!("{args} --json"));
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let result = object(&ended);
        let exports = result["exports"].as_array().unwrap();
        assert_eq!(exports.len(), reports.len());
        for (export, report) in exports.iter().zip(reports) {
            let written: Value = serde_json::from_slice(&fs::read(inputs.path(report)).unwrap()).unwrap();
            assert_eq!(export["report"], written);
            let sizes =
                export["files"].as_array().unwrap().iter().map(|file| file["bytes"].as_u64().unwrap());
            assert_eq!(export["bytes"].as_u64(), Some(sizes.sum()));
            assert!(!export["next_steps"].as_array().unwrap().is_empty());
        }
    }
    let verified = object(&inputs.run(&format!("--json verify {MODEL} --out m-q8_0.gguf --logits")));
    assert_eq!((&verified["identical"], &verified["differences"]), (&json!(true), &json!([])));
    assert!(verified["logits"]["kl_mean"].is_number(), "{verified}");
}

#[test]
fn a_failure_is_an_object_too() {
    let inputs = Inputs::new();
    let failed = inputs.run(&format!("gguf {MODEL} --json --out absent/m.gguf"));
    let expected = "the folder absent does not exist: create it first";
    let error = json!({ "kind": "output", "exit_status": 5, "message": expected });
    assert_eq!(object(&failed), json!({ "error": error }));
    assert_eq!(String::from_utf8(failed.stderr).unwrap(), format!("error: {expected}\n"));

    inputs.succeed(&format!("gguf {MODEL} --out m.gguf"));
    let mut bytes = fs::read(inputs.path("m.gguf")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(inputs.path("m.gguf"), bytes).unwrap();
    let verified = object(&inputs.run(&format!("verify {MODEL} --json --out m.gguf")));
    assert_eq!((&verified["identical"], &verified["error"]["exit_status"]), (&json!(false), &json!(7)));
    let small =
        object(&inputs.run(&format!("gguf {MODEL} --json --quant q2_k --min-survival 1 --out s.gguf")));
    assert_eq!(small["error"]["kind"], "survival");
    assert!(small["exports"][0]["report"]["survival"]["survival"].as_f64().unwrap() < 1.0);
}

#[test]
fn wrong_arguments_are_an_object_too() {
    let inputs = Inputs::new();
    for (args, part) in [
        ("gguf --json", "required arguments were not provided"),
        ("gguf --base base --out m.gguf --json --quant q9", "invalid value 'q9'"),
        ("bogus --json", "unrecognized subcommand 'bogus'"),
    ] {
        let ended = inputs.run(args);
        let object = object(&ended);
        assert_eq!((&object["error"]["kind"], &object["error"]["exit_status"]), (&json!("usage"), &json!(2)));
        let message = object["error"]["message"].as_str().unwrap();
        assert!(message.contains(part) && !message.contains("--help"), "{object}");
        assert_eq!(ended.status.code(), Some(2));
        assert!(String::from_utf8(ended.stderr).unwrap().contains("--help"));
    }
    let help = inputs.run("gguf --json --help");
    assert!(help.status.success() && help.stdout.starts_with(b"Convert"), "{help:?}");
    assert!(inputs.run("gguf").stdout.is_empty());
}

#[test]
fn quiet_prints_errors_only() {
    let inputs = Inputs::new();
    fs::copy(inputs.path("adapter/adapter_config.json"), inputs.path("base/adapter_config.json")).unwrap();
    for args in ["gguf --base base --out m.gguf -q", "verify --base base --out m.gguf --quiet"] {
        let ended = inputs.run(args);
        assert!(ended.status.success() && ended.stdout.is_empty() && ended.stderr.is_empty(), "{args}");
    }
    inputs.fail(5, "gguf --base base --out m.gguf --quiet", &["error: m.gguf exists"]);
    inputs.refuse("inspect absent --quiet", &["error: cannot read absent"]);
}

#[test]
fn a_summary_ends_with_the_next_step() {
    let inputs = Inputs::new();
    for (args, next) in [
        (
            "gguf --base base --out My.gguf",
            "ollama create my -f My.Modelfile\n           llama-server -m My.gguf\n",
        ),
        ("merge --base base --adapter adapter --out merged", "vllm serve merged\n"),
        ("lora --base base --adapter adapter --out l.gguf", "llama-cli -m BASE.gguf --lora l.gguf\n"),
    ] {
        let printed = String::from_utf8(inputs.run(args).stdout).unwrap();
        assert!(printed.contains(&format!("  next     {next}")), "{printed}");
    }
}

#[test]
fn help_and_readme_document_every_exit_status() {
    let inputs = Inputs::new();
    let help = String::from_utf8(inputs.run("--help").stdout).unwrap();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COMMAND.md")).unwrap();
    for status in [0, 1, 2, 3, 4, 5, 6, 7, 130] {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {status:<4} "))), "{status}: {help}");
        assert!(page.contains(&format!("| {status} |")), "{status} is not in docs/COMMAND.md");
    }
}
