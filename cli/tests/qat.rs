//! `gguf --qat` of a base whose weights lie on a 4-bit grid.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use serde_json::Value;
use support::Inputs;

/// Gives the matrices of the base weights of -7 to 7 steps, in bf16.
fn on_grid(inputs: &Inputs) {
    for entry in fs::read_dir(inputs.path("base")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let mut file = fs::read(&path).unwrap();
        let data = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&file[8..data]).unwrap();
        for about in header.as_object().unwrap().values() {
            if about["shape"].as_array().is_none_or(|shape| shape.len() != 2) {
                continue;
            }
            let at = |end: usize| data + about["data_offsets"][end].as_u64().unwrap() as usize;
            for (i, weight) in file[at(0)..at(1)].chunks_exact_mut(2).enumerate() {
                let scattered = (i as u32).wrapping_mul(2_654_435_761) >> 16;
                let level = if i % 32 == 0 { 7 } else { scattered as i32 % 15 - 7 };
                let bits = (level as f32 * 0.013).to_bits() + 0x8000;
                weight.copy_from_slice(&((bits >> 16) as u16).to_le_bytes());
            }
        }
        fs::write(&path, file).unwrap();
    }
}

#[test]
fn the_grid_is_in_the_report_and_verifies_and_can_be_turned_off() {
    let inputs = Inputs::new();
    on_grid(&inputs);
    let mut files = Vec::new();
    for (option, expected) in [("auto", Value::from("grid")), ("off", Value::Null)] {
        let gguf = format!("gguf --base base --quant q4_0 --out {option}.gguf --qat {option}");
        let warned = inputs.succeed(&gguf);
        assert!(!warned.contains("moved_off_grid"), "{warned}");
        let report = fs::read(inputs.path(&format!("{option}.report.json"))).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["options"]["qat"], expected);
        inputs.succeed(&format!("verify --base base --out {option}.gguf"));
        files.push(fs::read(inputs.path(&format!("{option}.gguf"))).unwrap());
    }
    assert_ne!(files[0], files[1]);
    inputs.fail(2, "gguf --base base --out m.gguf --qat maybe", &["--qat"]);
    inputs.refuse("gguf --base missing --out m.gguf --qat off", &["missing"]);
}

#[test]
fn an_adapter_on_such_a_base_is_warned_of() {
    let inputs = Inputs::new();
    on_grid(&inputs);
    let gguf = "gguf --base base --adapter adapter --out m.gguf --quant";
    let warned = inputs.succeed(&format!("{gguf} q4_0"));
    assert!(warned.contains("the adapter as a GGUF of its own"), "{warned}");
    inputs.succeed("verify --base base --adapter adapter --out m.gguf");
    let shown = inputs.run("gguf --base base --adapter adapter --out measured/ --quant q4_0,q8_0 --survival");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(
        shown.matches("% with the adapter beside the base in this type (gemma-export lora)").count(),
        1,
        "{shown}"
    );
    let warned = inputs.succeed(&format!("{gguf} q8_0 --force"));
    assert!(!warned.contains("the adapter as a GGUF of its own"), "{warned}");
}
