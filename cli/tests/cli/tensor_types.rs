//! Types of single tensors: their options, the report, and `--dry-run`.

use std::fs;

use serde_json::Value;

use crate::support::Inputs;

const GGUF: &str = "gguf --base base --adapter adapter --quant q4_k_m --out m.gguf";

#[test]
fn a_dry_run_prints_types_and_exact_sizes_and_writes_nothing() {
    let inputs = Inputs::new();
    let args = format!("{GGUF} --tensor-type attn_v=q8_0");
    let dry = inputs.run(&format!("{args} --dry-run"));
    let printed = String::from_utf8(dry.stdout).unwrap();
    assert!(
        dry.status.success() && !inputs.path("m.gguf").exists() && !inputs.path("m.report.json").exists()
    );
    inputs.succeed(&args);
    let size = fs::metadata(inputs.path("m.gguf")).unwrap().len();
    assert!(printed.contains(&format!("m.gguf ({size} bytes)")), "{printed}");
    let report: Value = serde_json::from_slice(&fs::read(inputs.path("m.report.json")).unwrap()).unwrap();
    for tensor in report["tensors"].as_array().unwrap() {
        let (name, kind) =
            (tensor["stored"]["name"].as_str().unwrap(), tensor["stored"]["type"].as_str().unwrap());
        assert_eq!(name.contains("attn_v.weight"), kind == "Q8_0", "{name} {kind}");
        let is_printed = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some(name) && words.any(|word| word == kind)
        };
        assert!(printed.lines().any(is_printed), "{name} {kind}: {printed}");
    }
}

#[test]
fn verify_reads_the_types_from_the_report() {
    let inputs = Inputs::new();
    fs::write(inputs.path("types.txt"), "attn_=q6_k\nffn_down=Q5_0 norm=q8_0").unwrap();
    let types = "--tensor-type attn_v=q8_0 --tensor-type-file types.txt --output-tensor-type q5_1 --pure";
    inputs.succeed(&format!("{GGUF} {types}"));
    inputs.succeed("verify --base base --adapter adapter --out m.gguf");
    let report: Value = serde_json::from_slice(&fs::read(inputs.path("m.report.json")).unwrap()).unwrap();
    let types = &report["options"]["types"];
    assert_eq!(types["tensors"][0], serde_json::json!({"name": "attn_v", "type": "Q8_0"}));
    assert_eq!((types["tensors"].as_array().unwrap().len(), &types["output"]), (4, &"Q5_1".into()));
    // in a model with tied embeddings a pure file has no output tensor
    let embedding = |tensor: &&Value| tensor["stored"]["name"] == "token_embd.weight";
    let embedding = report["tensors"].as_array().unwrap().iter().find(embedding).unwrap();
    assert_ne!(embedding["stored"]["type"], "Q5_1");
}

#[test]
fn types_that_cannot_be_used_are_named() {
    let inputs = Inputs::new();
    let warnings = inputs.succeed(&format!("{GGUF} --tensor-type atn_v=q8_0"));
    assert!(warnings.contains("no tensor of the file matches \"atn_v\""), "{warnings}");
    let bf16 = "gguf --base base --quant bf16 --out n.gguf --tensor-type attn_v=q8_0";
    inputs.refuse(bf16, &["file of type bf16", "take a quantized type"]);
    fs::write(inputs.path("types.txt"), "attn_v=q9").unwrap();
    let file = "gguf --base base --quant q4_0 --out n.gguf --tensor-type-file types.txt";
    inputs.refuse(file, &["types.txt", "unknown tensor type \"q9\"", "q8_0"]);
    let dense = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/fixtures/families/gemma4-dense/base");
    let embedding = format!("gguf --base {dense} --quant q4_0 --out n.gguf --token-embedding-type q4_k");
    inputs.refuse(&embedding, &["token_embd.weight", "rows of 192 elements", "choose another type"]);
}

#[test]
fn without_a_report_verify_takes_the_types_of_the_file() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("moved")).unwrap();
    for types in
        ["--pure", "--tensor-type attn_v=q8_0 --tensor-type ffn_down=q5_0", "--token-embedding-type q4_0"]
    {
        inputs.succeed(&format!("{GGUF} {types} --force"));
        fs::copy(inputs.path("m.gguf"), inputs.path("moved/m.gguf")).unwrap();
        let verify = "verify --base base --adapter adapter --out moved/m.gguf";
        let printed = inputs.run(verify);
        let text = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.status.success() && text.contains("in 1 file"), "{types}: {text}");
        let mut bytes = fs::read(inputs.path("moved/m.gguf")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(inputs.path("moved/m.gguf"), bytes).unwrap();
        assert_eq!(inputs.run(verify).status.code(), Some(7), "{types}");
    }
}

#[test]
fn a_dry_run_takes_nothing_that_needs_weights_and_says_what_would_be_refused() {
    let inputs = Inputs::new();
    for option in ["--survival", "--min-survival 0.9", "--prompts p.txt", "--push ada/x"] {
        inputs.fail(2, &format!("{GGUF} --dry-run {option}"), &["cannot be used with", "--dry-run"]);
    }
    inputs.succeed(GGUF);
    let warned = inputs.succeed(&format!("{GGUF} --dry-run"));
    assert!(warned.contains("m.gguf exists: choose another output, or replace it with --force"), "{warned}");
    let warned = inputs.succeed(&format!("{GGUF} --dry-run --force"));
    assert!(!warned.contains("exists"), "{warned}");
    let warned = inputs.succeed("gguf --base base --quant q8_0 --out new/ --dry-run");
    assert!(!warned.contains("new") && !inputs.path("new").exists(), "{warned}");
}
