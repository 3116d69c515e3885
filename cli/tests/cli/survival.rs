//! Survival of the fine-tune: in the report, on standard output, and as an exit status.

use std::fs;

use serde_json::Value;

use crate::support::Inputs;

fn report(inputs: &Inputs, name: &str) -> Value {
    serde_json::from_slice(&fs::read(inputs.path(name)).unwrap()).unwrap()
}

fn inputs() -> Inputs {
    let inputs = Inputs::new();
    fs::write(inputs.path("prompts.txt"), "the capital\na b\n").unwrap();
    inputs
}

#[test]
fn the_report_has_the_survival_and_verifies() {
    let inputs = inputs();
    let model = "--base base --adapter adapter";
    inputs.succeed(&format!("gguf {model} --quant q8_0,q2_k --out m-{{quant}}.gguf --prompts prompts.txt"));
    let of = |quant: &str| report(&inputs, &format!("m-{quant}.report.json"))["survival"].clone();
    let [q8_0, q2_k] = ["q8_0", "q2_k"].map(|quant| of(quant)["survival"].as_f64().unwrap());
    assert!(q8_0 > 0.9 && q2_k < q8_0, "{q8_0} {q2_k}");
    assert_eq!(of("q2_k")["prompts"]["answered"], 2);
    assert_eq!(of("q2_k")["samples"].as_array().unwrap().len(), 2);
    assert_eq!(of("q2_k")["worst_tensors"].as_array().unwrap().len(), 10);
    inputs.succeed(&format!("verify {model} --out m-q2_k.gguf"));
    let verified = inputs.run(&format!("verify {model} --out m-q2_k.gguf --prompts prompts.txt"));
    let printed = String::from_utf8(verified.stdout).unwrap();
    // random weights: two bits lose more than all of the change
    let share = format!("survival {:.2} %: nothing of the fine-tune, further from", q2_k * 100.0);
    assert!(q2_k < 0.0 && printed.contains(&share), "{printed}");
}

#[test]
fn a_model_that_never_learned_to_stop_is_a_finding_of_its_exports() {
    let inputs = Inputs::new();
    fs::write(inputs.path("prompts.jsonl"), r#"{"prompt": "Hello", "completion": "Hi"}"#).unwrap();
    let model = "--base base --adapter adapter";
    let warned = [
        inputs.succeed(&format!("gguf {model} --out m.gguf --prompts prompts.jsonl")),
        inputs.succeed(&format!("merge {model} --out merged --prompts prompts.jsonl")),
    ];
    for (warned, report_name) in warned.iter().zip(["m.report.json", "merged/export-report.json"]) {
        assert!(warned.contains("(turn_end_not_learned)"), "{warned}");
        let report = report(&inputs, report_name);
        let codes: Vec<_> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap())
            .collect();
        assert!(codes.contains(&"turn_end_not_learned"), "{report}");
        assert_eq!(report["survival"]["turn_end"]["answers"], 1);
    }
    inputs.succeed(&format!("verify {model} --out m.gguf"));
    inputs.succeed(&format!("verify {model} --out merged"));
}

#[test]
fn a_tensor_without_a_change_has_lost_none() {
    let inputs = inputs();
    let adapter =
        format!("{}/../engine/tests/fixtures/adapters/embedding/adapter", env!("CARGO_MANIFEST_DIR"));
    let merge = format!("merge --base base --adapter {adapter} --out merged --prompts prompts.txt");
    let output = inputs.run(&merge);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && printed.contains("1 of the 4 get a change of zero"), "{printed}");
    let report = report(&inputs, "merged/export-report.json");
    let worst = report["survival"]["worst_tensors"].as_array().unwrap();
    assert!(
        worst.len() == 3 && worst.iter().all(|tensor| tensor["cosine"].as_f64().unwrap() > 0.9),
        "{worst:?}"
    );
}

#[test]
fn findings_are_printed_before_an_export() {
    let inputs = Inputs::new();
    let mut config: Value =
        serde_json::from_slice(&fs::read(inputs.path("base/tokenizer_config.json")).unwrap()).unwrap();
    config["pad_token"] = "<end_of_turn>".into();
    fs::write(inputs.path("adapter/tokenizer_config.json"), config.to_string()).unwrap();
    for command in ["gguf --out m.gguf", "merge --out merged", "lora --out l.gguf"] {
        let warned = inputs.succeed(&format!("{command} --base base --adapter adapter"));
        assert!(
            warned.contains("(pad_ends_answers)") && !warned.contains("no_tool_calls"),
            "{command}: {warned}"
        );
    }
}

#[test]
fn an_export_below_the_minimum_is_complete_and_ends_with_status_3() {
    let inputs = inputs();
    let model = "--base base --adapter adapter --min-survival";
    let gguf = inputs.run(&format!("gguf {model} 0.9 --quant q2_k,q8_0 --out m-{{quant}}.gguf"));
    let error = String::from_utf8(gguf.stderr).unwrap();
    assert_eq!(gguf.status.code(), Some(3), "{error}");
    assert!(error.contains("q2_k keeps ") && error.contains("take q8_0"), "{error}");
    assert_eq!(report(&inputs, "m-q2_k.report.json")["survival"]["prompts"]["source"], "fixed");
    let verify = inputs.run(&format!("verify {model} 0.99 --out m-q2_k.gguf"));
    let error = String::from_utf8(verify.stderr).unwrap();
    assert_eq!(verify.status.code(), Some(3), "{error}");
    assert!(error.contains("m-q2_k.gguf keeps "), "{error}");
    inputs.succeed(&format!("verify {model} 0.9 --out m-q8_0.gguf"));
    inputs.succeed(&format!("merge {model} 0.99 --out merged"));
    let survival = &report(&inputs, "merged/export-report.json")["survival"];
    assert!(survival["survival"].as_f64().unwrap() > 0.99, "{survival}");
}

#[test]
fn what_keeps_too_little_is_listed_and_the_smallest_file_that_keeps_enough_is_named() {
    let inputs = inputs();
    let gguf = inputs.run(
        "gguf --base base --adapter adapter --min-survival 0.9 --quant f16,q8_0,q2_k,q3_k_m,bf16 --out m-{quant}.gguf",
    );
    let error = String::from_utf8(gguf.stderr).unwrap();
    assert_eq!(gguf.status.code(), Some(3), "{error}");
    assert!(error.contains("q2_k keeps ") && error.contains("take q8_0"), "{error}");
    // no share below the whole reads as 100 %, and nothing has more bits than these
    for (command, kind) in
        [("gguf --quant q8_0 --out m.gguf", "q8_0"), ("merge --out merged", "the merged model")]
    {
        let ended = inputs.run(&format!("{command} --base base --adapter adapter --min-survival 1"));
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(3), "{error}");
        assert!(error.contains(&format!("{kind} keeps 99.")) && !error.contains("more bits"), "{error}");
        assert!(error.contains("the adapter beside its base keeps all of it"), "{error}");
    }
}

#[test]
fn an_export_whose_survival_cannot_be_measured_is_complete_and_says_so() {
    let inputs = inputs();
    let adapter = inputs.path("adapter/adapter_model.safetensors");
    let mut bytes = fs::read(&adapter).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[data..].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    fs::write(&adapter, bytes).unwrap();
    let model = "--base base --adapter adapter --allow-non-finite --survival --json";
    for (command, file) in [("gguf --out m.gguf", "m.gguf"), ("merge --out merged", "merged/config.json")] {
        let ended = inputs.run(&format!("{command} {model}"));
        let result: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(ended.status.code(), Some(4), "{result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("the export is complete, but the survival of the fine-tune is not known: "),
            "{message}"
        );
        assert!(message.contains("`gemma-export verify --survival` measures it"), "{message}");
        assert_eq!(result["exports"].as_array().unwrap().len(), 1, "{result}");
        assert!(inputs.path(file).exists());
    }
    // what is not known is not the minimum
    let ended = inputs.run(&format!("gguf --out n.gguf {model} --min-survival 0.5"));
    assert_eq!(ended.status.code(), Some(3));
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_written() {
    let inputs = inputs();
    inputs.fail(2, "gguf --base base --out m.gguf --survival", &["--adapter"]);
    let model = "gguf --base base --adapter adapter --out m.gguf --prompts";
    inputs.refuse(&format!("{model} absent.txt"), &["absent.txt"]);
    fs::write(inputs.path("empty.txt"), "\n").unwrap();
    inputs.refuse(&format!("{model} empty.txt"), &["empty.txt", "has no prompts"]);
    fs::write(inputs.path("long.txt"), "the capital ".repeat(600)).unwrap();
    inputs.refuse(&format!("{model} long.txt"), &["none of the prompts has 1 to 512 tokens"]);
    assert!(!inputs.path("m.gguf").exists());
}

#[test]
fn prompts_that_the_template_refuses_are_counted_with_the_reason() {
    let inputs = inputs();
    let template = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{{ m.content }}<end_of_turn>{% endfor %}";
    fs::write(inputs.path("base/chat_template.jinja"), template).unwrap();
    let refused = r#"{"messages": [{"role": "tool", "content": "a"}]}"#;
    fs::write(inputs.path("mixed.jsonl"), format!("{}\n\n{refused}\n", r#"{"prompt": "the capital"}"#))
        .unwrap();
    let reason = "line 3: the model's chat template does not render it: no tools";
    let model = "--base base --adapter adapter";
    let exported = inputs.run(&format!("gguf {model} --out m.gguf --prompts mixed.jsonl"));
    let printed = String::from_utf8(exported.stdout).unwrap();
    assert!(
        printed.contains("1 of 2 prompts") && printed.contains(&format!("1 left out: {reason}")),
        "{printed}"
    );
    let left_out = &report(&inputs, "m.report.json")["survival"]["prompts"]["left_out"];
    assert_eq!((&left_out["count"], &left_out["first"]), (&1.into(), &reason.into()));
    let checked = inputs.run(&format!("check {model} --prompts mixed.jsonl"));
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(printed.contains(&format!("prompts 1 left out: {reason}")), "{printed}");
    let rows = format!("{}\n{refused}\n", r#"{"prompt": "the capital of a town is a house"}"#).repeat(200);
    fs::write(inputs.path("set.jsonl"), rows).unwrap();
    let computed = inputs.run(&format!("imatrix {model} --text set.jsonl --out i.gguf"));
    let printed = String::from_utf8(computed.stdout).unwrap();
    assert!(printed.contains("conversations 200 left out, the first: line 2: the model's"), "{printed}");
    fs::write(inputs.path("refused.jsonl"), format!("\n{refused}")).unwrap();
    let refused = ["refused.jsonl: line 2: the model's chat template does not render it: no tools: correct"];
    inputs.refuse(&format!("gguf {model} --out n.gguf --prompts refused.jsonl"), &refused);
}
