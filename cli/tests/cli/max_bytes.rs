//! `gguf --max-bytes`: a file of at most that size, with the types that were chosen.

use std::fs;

use serde_json::Value;

use crate::support::Inputs;

#[test]
fn a_file_has_at_most_the_size_and_verifies() {
    let inputs = Inputs::new();
    let model = "--base base --adapter adapter";
    let size = |name: &str| fs::metadata(inputs.path(name)).unwrap().len();
    inputs.succeed(&format!("gguf {model} --quant q2_k,q8_0 --out {{quant}}.gguf"));
    let most = (size("q2_k.gguf") + size("q8_0.gguf")) / 2;
    let said = inputs.succeed(&format!("gguf {model} --max-bytes {most} --out m.gguf"));
    assert!(
        said.contains("sum of weighted errors") && said.contains("the best mixture of that size"),
        "{said}"
    );
    let made = size("m.gguf");
    assert!(made <= most && made > size("q2_k.gguf"), "{made} {most}");
    let report: Value = serde_json::from_slice(&fs::read(inputs.path("m.report.json")).unwrap()).unwrap();
    assert!(!report["options"]["types"]["tensors"].as_array().unwrap().is_empty());
    inputs.succeed(&format!("verify {model} --out m.gguf"));
    inputs.refuse(
        &format!("gguf {model} --max-bytes 1K --out n.gguf"),
        &["bytes in the smallest types, more than 1000"],
    );
    inputs.fail(2, &format!("gguf {model} --max-bytes 1MB --quant q4_0 --out n.gguf"), &["--max-bytes"]);
    assert!(!inputs.path("n.gguf").exists());
}

#[test]
fn split_files_have_at_most_the_size_together() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --quant q8_0 --out whole.gguf");
    let whole = fs::metadata(inputs.path("whole.gguf")).unwrap().len();
    for most in [whole, whole - 700, whole * 2 / 3] {
        let said = inputs.run(&format!(
            "gguf --base base --max-bytes {most} --split-max-size 100K --out v.gguf --force --json"
        ));
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let parts = fs::read_dir(inputs.path("")).unwrap().map(|entry| entry.unwrap());
        let parts: Vec<_> =
            parts.filter(|entry| entry.file_name().to_str().unwrap().starts_with("v-0")).collect();
        let bytes: u64 = parts.iter().map(|part| part.metadata().unwrap().len()).sum();
        assert!(parts.len() > 2 && bytes <= most, "{bytes} of {most} in {} files", parts.len());
        parts.iter().for_each(|part| fs::remove_file(part.path()).unwrap());
        fs::remove_file(inputs.path("v.report.json")).unwrap();
    }
}

#[test]
fn a_base_on_a_grid_has_at_most_the_error_of_q4_0() {
    let inputs = Inputs::new();
    e2e::put_on_grid(&inputs.path("base")).unwrap();
    inputs.succeed("gguf --base base --quant q4_0 --pure --out q4_0.gguf");
    let most = fs::metadata(inputs.path("q4_0.gguf")).unwrap().len();
    inputs.succeed(&format!("gguf --base base --max-bytes {most} --out m.gguf"));
    let rmse = |report: &str| {
        let report: Value = serde_json::from_slice(&fs::read(inputs.path(report)).unwrap()).unwrap();
        report["summary"]["rmse"].as_f64().unwrap()
    };
    let (chosen, uniform) = (rmse("m.report.json"), rmse("q4_0.report.json"));
    assert!(chosen <= 1.001 * uniform, "{chosen} {uniform}");
}

#[test]
fn the_importance_matrix_weights_the_errors() {
    let inputs = Inputs::new();
    let model = "--base base --adapter adapter";
    fs::write(inputs.path("text.txt"), "the capital of a town is a house by the sea. ".repeat(100)).unwrap();
    inputs.succeed(&format!("imatrix {model} --text text.txt --chunks 1 --out i.gguf"));
    let said =
        inputs.succeed(&format!("gguf {model} --max-bytes 1MB --imatrix i.gguf --out m.gguf --dry-run"));
    assert!(said.contains("of 1.00 MB at most") && said.contains("Q8_0"), "{said}");
}
