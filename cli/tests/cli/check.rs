//! `gemma-export check`: what it prints, and when it fails.

use std::fs;

use serde_json::{Value, json};

use crate::support::Inputs;

const CHECK: &str = "check --base base --adapter adapter";

#[test]
fn a_finding_is_printed_and_fails_by_its_severity() {
    let inputs = Inputs::new();
    inputs.refuse("check --base missing", &["missing"]);
    inputs.succeed(&format!("{CHECK} --strict"));
    let mut config: Value =
        serde_json::from_slice(&fs::read(inputs.path("base/tokenizer_config.json")).unwrap()).unwrap();
    config["pad_token"] = json!("<end_of_turn>");
    fs::write(inputs.path("adapter/tokenizer_config.json"), config.to_string()).unwrap();
    inputs.succeed(CHECK);
    inputs.fail(8, &format!("{CHECK} --strict"), &["2 findings", "correct them"]);
    let found = inputs.run(&format!("{CHECK} --json"));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let codes: Vec<_> =
        found["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
    assert!(codes.contains(&&json!("pad_ends_answers")) && codes.contains(&&json!("special_token_differs")));
    config["eos_token"] = json!("<eos>");
    fs::write(inputs.path("adapter/tokenizer_config.json"), config.to_string()).unwrap();
    let printed = String::from_utf8(inputs.run(CHECK).stdout).unwrap();
    assert!(printed.contains("error    turn_end_not_in_stop_set: "), "{printed}");
    inputs.fail(8, CHECK, &["1 finding"]);
}

#[test]
fn a_model_that_never_learned_to_stop_is_named() {
    let inputs = Inputs::new();
    let text = r#"{"prompt": "Hello", "completion": "Hi"}"#;
    fs::write(inputs.path("prompts.jsonl"), text).unwrap();
    // random weights
    let args = format!("{CHECK} --prompts prompts.jsonl");
    let found = String::from_utf8(inputs.run(&args).stdout).unwrap();
    assert!(found.contains("after one answer") && found.contains("warning  turn_end_not_learned"), "{found}");
    inputs.fail(8, &format!("{args} --strict"), &["1 finding"]);
}

#[test]
fn what_an_adapter_lacks_is_a_finding() {
    let inputs = Inputs::new();
    let path = inputs.path("adapter/adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["target_modules"].as_array_mut().unwrap().push(json!("embed_tokens"));
    fs::write(path, config.to_string()).unwrap();
    let found = String::from_utf8(inputs.run(CHECK).stdout).unwrap();
    assert!(found.contains("warning  missing_factors: ") && found.contains("embed_tokens"), "{found}");
    inputs.fail(8, &format!("{CHECK} --strict"), &["1 finding"]);
}
