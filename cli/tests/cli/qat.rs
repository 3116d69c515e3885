//! `gguf --qat` of a base whose weights lie on a 4-bit grid.

use std::fs;

use e2e::put_on_grid;
use serde_json::Value;

use crate::support::Inputs;

#[test]
fn the_grid_is_in_the_report_and_verifies_and_can_be_turned_off() {
    let inputs = Inputs::new();
    put_on_grid(&inputs.path("base")).unwrap();
    let mut files = Vec::new();
    for (option, expected) in [("auto", Value::from("grid")), ("off", Value::Null)] {
        let gguf = format!("gguf --base base --quant q4_0 --out {option}.gguf --qat {option}");
        let warned = inputs.succeed(&gguf);
        assert!(!warned.contains("moved_off_grid"), "{warned}");
        let report = fs::read(inputs.path(&format!("{option}.report.json"))).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["options"]["qat"], expected);
        inputs.succeed(&format!("verify --base base --out {option}.gguf"));
        fs::create_dir_all(inputs.path("moved")).unwrap();
        fs::copy(inputs.path(&format!("{option}.gguf")), inputs.path("moved/m.gguf")).unwrap();
        inputs.succeed("verify --base base --out moved/m.gguf");
        files.push(fs::read(inputs.path(&format!("{option}.gguf"))).unwrap());
    }
    assert_ne!(files[0], files[1]);
    inputs.fail(2, "gguf --base base --out m.gguf --qat maybe", &["--qat"]);
    inputs.refuse("gguf --base missing --out m.gguf --qat off", &["missing"]);
}

#[test]
fn an_adapter_on_such_a_base_is_warned_of() {
    let inputs = Inputs::new();
    put_on_grid(&inputs.path("base")).unwrap();
    let gguf = "gguf --base base --adapter adapter --out m.gguf --quant";
    let warned = inputs.succeed(&format!("{gguf} q4_0"));
    assert!(warned.contains("the adapter as a GGUF of its own"), "{warned}");
    inputs.succeed("verify --base base --adapter adapter --out m.gguf");
    // the commands of the summary make the pair
    let shown = String::from_utf8(
        inputs.run(&format!("{gguf} q8_0,q4_0 --force").replace("m.gguf", "m-{quant}.gguf")).stdout,
    )
    .unwrap();
    let steps: Vec<&str> = shown.lines().map(str::trim).filter(|line| line.contains("m-q4_0-")).collect();
    assert_eq!(
        steps,
        [
            "gemma-export gguf --base base --quant q4_0 --out m-q4_0-base.gguf",
            "gemma-export lora --base base --adapter adapter --out m-q4_0-adapter.gguf",
            "llama-server -m m-q4_0-base.gguf --lora m-q4_0-adapter.gguf",
        ],
        "{shown}"
    );
    for step in &steps[..2] {
        inputs.succeed(step.strip_prefix("gemma-export ").unwrap());
    }
    let shown = inputs
        .run("gguf --base base --adapter adapter --out measured-{quant}.gguf --quant q4_0,q8_0 --survival");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(
        shown.matches("% with the adapter beside the base in this type (gemma-export lora)").count(),
        1,
        "{shown}"
    );
    let verified = inputs.run("verify --base base --adapter adapter --out measured-q4_0.gguf --survival");
    let verified = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.contains("% with the adapter beside the base"), "{verified}");
    let dora = format!("{}/../engine/tests/fixtures/adapters/dora/adapter", env!("CARGO_MANIFEST_DIR"));
    let warned = inputs.succeed(&format!("gguf --base base --adapter {dora} --out dora.gguf --quant q4_0"));
    assert!(
        warned.contains("Take a type with more bits") && !warned.contains("a GGUF of its own"),
        "{warned}"
    );
    let warned = inputs.succeed(&format!("{gguf} q8_0 --force"));
    assert!(!warned.contains("the adapter as a GGUF of its own"), "{warned}");
}
