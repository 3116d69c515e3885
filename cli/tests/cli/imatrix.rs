//! `gemma-export imatrix`: the file that it writes, and what it refuses.

use std::fs;

use serde_json::Value;

use crate::support::Inputs;

const MODEL: &str = "--base base --adapter adapter";

/// Inputs with a text of some thousand tokens.
fn inputs() -> Inputs {
    let inputs = Inputs::new();
    fs::write(inputs.path("text.txt"), "the capital of a town is a house by the sea. ".repeat(200)).unwrap();
    inputs
}

#[test]
fn an_importance_matrix_is_computed_and_used() {
    let inputs = inputs();
    let imatrix = format!("imatrix {MODEL} --text text.txt --chunks 2");
    let made = inputs.run(&format!("{imatrix} --out m.gguf --json"));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["chunks"], &made["tokens"], &made["tensors"]), (&2.into(), &1024.into(), &14.into()));
    assert_eq!(made["bytes"], fs::metadata(inputs.path("m.gguf")).unwrap().len());
    inputs.succeed(&format!("gguf {MODEL} --quant q4_k_m --imatrix m.gguf --out with.gguf"));
    inputs.succeed(&format!("gguf {MODEL} --quant q4_k_m --out without.gguf"));
    let report: Value = serde_json::from_slice(&fs::read(inputs.path("with.report.json")).unwrap()).unwrap();
    assert_eq!(report["options"]["imatrix"], made["sha256"]);
    let types =
        format!("gguf {MODEL} --imatrix m.gguf --quant q8_0,q4_k_m,bf16 --dry-run --out t-{{quant}}.gguf");
    let unused = "warning: --imatrix is not used for q8_0, bf16: weights of 8 bits and more are not weighted";
    assert_eq!(inputs.succeed(&types).trim_end(), unused);
    assert_ne!(fs::read(inputs.path("with.gguf")).unwrap(), fs::read(inputs.path("without.gguf")).unwrap());
    // of the base alone
    inputs.succeed("imatrix --base base --text text.txt --chunks 1 --out base.gguf");
    assert_ne!(fs::read(inputs.path("m.gguf")).unwrap(), fs::read(inputs.path("base.gguf")).unwrap());
}

#[test]
fn only_an_importance_matrix_is_replaced() {
    let inputs = inputs();
    let imatrix = format!("imatrix {MODEL} --text text.txt --chunks 1");
    inputs.succeed(&format!("{imatrix} --out m.gguf"));
    inputs.fail(5, &format!("{imatrix} --out m.gguf"), &["m.gguf exists", "--force"]);
    inputs.succeed(&format!("{imatrix} --out m.gguf --force"));
    inputs.succeed(&format!("gguf {MODEL} --out model.gguf"));
    for input in ["text.txt", "base/config.json", "model.gguf"] {
        let before = fs::read(inputs.path(input)).unwrap();
        inputs.fail(5, &format!("{imatrix} --out {input} --force"), &[input]);
        assert_eq!(fs::read(inputs.path(input)).unwrap(), before);
    }
}

#[test]
fn a_text_without_a_chunk_is_refused() {
    let inputs = inputs();
    fs::write(inputs.path("short.txt"), "the capital").unwrap();
    inputs.refuse(&format!("imatrix {MODEL} --text short.txt --out m.gguf"), &["short.txt", "512 at least"]);
    inputs.refuse(&format!("imatrix {MODEL} --text absent.txt --out m.gguf"), &["absent.txt"]);
    assert!(!inputs.path("m.gguf").exists());
}
