//! Tokens that a tokenizer adds to texts, or does not have.

use super::*;

#[test]
fn special_tokens_that_programs_read_in_other_ways_are_named() {
    let cases: [(&str, Severity, Break); 8] = [
        ("adds_eos_token", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["add_eos_token"] = json!(true));
        }),
        ("bos_ends_answers", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["bos_token"] = json!("<eos>"));
            f.edit("adapter/tokenizer_config.json", |c| c["eos_token"] = json!("<eos>"));
        }),
        ("bos_ends_answers", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["bos_token"] = json!("<end_of_turn>"));
        }),
        ("tokenizer_class_differs", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["tokenizer_class"] = json!("LlamaTokenizerFast"));
        }),
        ("special_token_differs", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["bos_token"] = Value::Null);
        }),
        ("special_token_differs", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["unk_token"] = Value::Null);
        }),
        ("no_bos_in_template", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["bos_token"] = Value::Null);
        }),
        ("turn_end_not_in_stop_set", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["eos_token"] = Value::Null);
        }),
    ];
    assert_named(cases);
}

#[test]
fn classes_that_load_the_file_as_it_is_are_no_finding() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    for class in [
        "GemmaTokenizer",
        "GemmaTokenizerFast",
        "PreTrainedTokenizerFast",
        "TokenizersBackend",
        "MyTokenizer",
    ] {
        folders.edit("adapter/tokenizer_config.json", |config| config["tokenizer_class"] = json!(class));
        assert!(folders.findings().iter().all(|finding| finding.severity == Severity::Note), "{class}");
    }
}

#[test]
fn an_embedding_model_may_add_its_eos_token() {
    let folders = Folders::of("families/gemma-embedding");
    folders.edit("base/tokenizer_config.json", |config| config["add_eos_token"] = json!(true));
    assert!(!folders.findings().iter().any(|finding| finding.code == "adds_eos_token"));
}

#[test]
fn a_special_token_that_is_null_is_none_and_one_that_is_not_named_is_the_default() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.edit("adapter/tokenizer_config.json", |config| config["bos_token"] = Value::Null);
    let findings = folders.findings();
    let found = findings.iter().find(|finding| finding.code == "special_token_differs").unwrap();
    assert_eq!(found.message, "the adapter's bos token is none, and the base's is <bos> (2)");
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        folders.edit(&format!("adapter/{name}"), |config| {
            config.as_object_mut().unwrap().remove("bos_token");
        });
    }
    assert!(folders.findings().iter().all(|finding| finding.severity == Severity::Note));
}

#[test]
fn a_gguf_file_has_the_special_tokens_that_are_null() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    let tokenizer = || gguf_tokenizer(&model(&folders.path("base"), &folders.path("adapter")));
    let before = tokenizer();
    folders.edit("adapter/tokenizer_config.json", |config| config["bos_token"] = Value::Null);
    assert_eq!(tokenizer(), before);
}
