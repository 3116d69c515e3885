//! Tokenizers, templates and settings that are broken one way at a time, and models in which nothing is broken.

mod special_tokens;
mod templates;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    Adapter, Checkpoint, Finding, Folder, GgufFile, GgufOptions, GgufPlan, LocalFolder, LocalOutput,
    LoraPlan, MergePlan, Model, OutputType, RunOptions, Severity, TensorType, check_serving,
};
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Copies of a base and its adapter, in a folder that goes away.
struct Folders(tempfile::TempDir);

impl Folders {
    fn of(fixture: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["base", "adapter"] {
            let Ok(files) = fs::read_dir(fixtures().join(fixture).join(part)) else { continue };
            fs::create_dir(folder.path().join(part)).unwrap();
            for file in files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
                fs::copy(&file, folder.path().join(part).join(file.file_name().unwrap())).unwrap();
            }
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(name);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
    }

    /// Gives the adapter the base's tokenizer files.
    fn with_own_tokenizer(self) -> Self {
        for name in ["tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"]
        {
            fs::copy(self.path(&format!("base/{name}")), self.path(&format!("adapter/{name}"))).unwrap();
        }
        self
    }

    fn template(&self, text: &str) {
        fs::write(self.path("adapter/chat_template.jinja"), text).unwrap();
    }

    /// Leaves the adapter's tokenizer one added token, which the base has not.
    fn add_only_a_token_of_its_own(&self) {
        self.edit("adapter/tokenizer.json", |json| {
            json["added_tokens"] = json!([{"id": 7, "content": "<mine>", "special": true}]);
        });
        self.edit("adapter/tokenizer_config.json", |config| {
            config.as_object_mut().unwrap().remove("added_tokens_decoder");
        });
    }

    fn findings(&self) -> Vec<Finding> {
        check(&self.path("base"), &self.path("adapter"))
    }
}

fn model(base: &Path, adapter: &Path) -> Model {
    let open = |path: &Path| Arc::new(LocalFolder::open(path).unwrap());
    let base = Checkpoint::open(open(base)).unwrap();
    match adapter.exists() {
        true => Model::with_adapter(&base, &Adapter::open(open(adapter)).unwrap()).unwrap(),
        false => Model::new(&base),
    }
}

fn check(base: &Path, adapter: &Path) -> Vec<Finding> {
    check_serving(&model(base, adapter)).unwrap()
}

const TURNS: &str = "{{ bos_token }}{% for m in messages %}\
                     <start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}\
                     {% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

/// Breaks a part of a Gemma 3 model.
type Break = fn(&Folders);

/// Each part, once broken, is a finding of this code, and is none before.
fn assert_named(cases: impl IntoIterator<Item = (&'static str, Severity, Break)>) {
    for (code, severity, part) in cases {
        let folders = Folders::of("gemma3-micro").with_own_tokenizer();
        assert!(!folders.findings().iter().any(|finding| finding.code == code), "{code} before it is broken");
        part(&folders);
        let findings = folders.findings();
        let found = findings.iter().find(|finding| finding.code == code);
        assert_eq!(found.map(|finding| finding.severity), Some(severity), "{code}: {findings:?}");
    }
}

#[test]
fn each_broken_part_is_named() {
    let cases: [(&str, Severity, Break); 44] = [
        ("stop_token_unknown", Severity::Warning, |f| {
            f.edit("base/generation_config.json", |c| c["eos_token_id"] = json!([106, 999_999]));
        }),
        ("added_tokens_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| {
                c["added_tokens_decoder"]["6"]["content"] = json!("<|im_start|>");
            });
        }),
        ("added_tokens_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                let tokens = json["added_tokens"].as_array_mut().unwrap();
                let end = tokens.iter_mut().find(|token| token["id"] == 106).unwrap();
                end["content"] = json!("<eot>");
                let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
                vocabulary.remove("<end_of_turn>");
                vocabulary.insert("<eot>".to_owned(), json!(106));
            });
        }),
        ("token_without_row", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| {
                c.as_object_mut().unwrap().remove("added_tokens_decoder");
            });
            f.edit("adapter/special_tokens_map.json", |c| c["eos_token"] = json!("<zzz>"));
        }),
        ("tokenizer_files_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| json["model"]["vocab"] = json!({}));
        }),
        ("tokenizer_files_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                let merges = json["model"]["merges"].as_array_mut().unwrap();
                merges.truncate(merges.len() / 2);
            });
        }),
        ("tokenizer_files_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                json["model"]["merges"].as_array_mut().unwrap().reverse();
            });
        }),
        ("tokenizer_files_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
                let [first, second] = [700, 701]
                    .map(|id| vocabulary.iter().find(|(_, value)| **value == json!(id)).unwrap().0.clone());
                vocabulary[&first] = json!(701);
                vocabulary[&second] = json!(700);
            });
        }),
        ("tokenizer_files_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                json["normalizer"] = json!({"type": "Sequence", "normalizers": [
                    {"type": "Prepend", "prepend": "\u{2581}"}, json["normalizer"].clone()]});
            });
        }),
        ("tokenizer_files_differ", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                json["pre_tokenizer"] = json!({"type": "Metaspace", "prepend_scheme": "always"});
            });
        }),
        ("settings_invalid", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| json["model"] = Value::Null);
        }),
        ("settings_invalid", Severity::Error, |f| {
            fs::write(f.path("adapter/tokenizer.json"), "{}").unwrap();
        }),
        ("token_without_row", Severity::Error, |f| {
            f.edit("adapter/tokenizer.json", |json| {
                let token = json!({"id": 768, "content": "<|im_end|>", "special": true});
                json["added_tokens"].as_array_mut().unwrap().push(token);
            });
        }),
        ("token_without_row", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["eos_token"] = json!("<zzz>"));
        }),
        ("token_without_row", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["additional_special_tokens"] = json!(["<zzz>"]));
        }),
        ("token_without_row", Severity::Error, |f| {
            f.edit("base/config.json", |c| c["vocab_size"] = json!(700));
        }),
        ("settings_invalid", Severity::Error, |f| {
            fs::write(f.path("base/generation_config.json"), "{").unwrap();
        }),
        ("settings_invalid", Severity::Error, |f| {
            fs::write(f.path("base/generation_config.json"), "[106]").unwrap();
        }),
        ("settings_invalid", Severity::Error, |f| {
            f.edit("base/generation_config.json", |c| c["eos_token_id"] = json!("106"));
        }),
        ("settings_invalid", Severity::Error, |f| {
            f.edit("base/generation_config.json", |c| c["eos_token_id"] = json!([106, -1]));
        }),
        ("turn_end_not_in_stop_set", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["eos_token"] = json!("<eos>"));
        }),
        ("special_token_differs", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["eos_token"] = json!("<eos>"));
        }),
        ("special_token_differs", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["bos_token"] = json!("<pad>"));
        }),
        ("turn_end_not_in_gguf", Severity::Error, |f| {
            f.template(&TURNS.replace("<end_of_turn>", "<start_of_turn>"));
        }),
        ("turn_end_not_in_stop_set", Severity::Error, |f| {
            f.template(&TURNS.replace("<end_of_turn>", "<start_of_turn>"));
        }),
        ("pad_ends_answers", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| c["pad_token"] = json!("<end_of_turn>"));
        }),
        ("pad_ends_answers", Severity::Warning, |f| {
            f.edit("adapter/tokenizer_config.json", |c| {
                c["pad_token"] = json!("<eos>");
                c["eos_token"] = json!("<eos>");
            });
        }),
        ("vocabulary_differs", Severity::Error, |f| {
            f.edit("adapter/tokenizer_config.json", |c| {
                c["added_tokens_decoder"]["105"]["content"] = json!("<turn>");
            });
        }),
        ("tokenizer_invalid", Severity::Error, |f| {
            fs::write(f.path("adapter/tokenizer.model"), "no pieces").unwrap();
        }),
        ("tokenizer_invalid", Severity::Error, |f| {
            fs::write(f.path("adapter/tokenizer_config.json"), "{").unwrap();
        }),
        ("template_invalid", Severity::Error, |f| f.template("{% for m in messages %}")),
        ("template_fails", Severity::Error, |f| f.template("{{ no_function() }}")),
        ("template_fails", Severity::Error, |f| {
            f.template(&format!("{{% if messages|length > 1 %}}{{{{ no_function() }}}}{{% endif %}}{TURNS}"));
        }),
        ("template_drops_messages", Severity::Error, |f| {
            f.template("{{ messages[0].content }}<end_of_turn>");
        }),
        ("template_token_unknown", Severity::Error, |f| {
            f.template(&TURNS.replace("<start_of_turn>", "<|im_start|>"));
        }),
        ("no_turn_end", Severity::Error, |f| f.template(&TURNS.replace("<end_of_turn>", "\\n\\n"))),
        ("generation_prompt_always", Severity::Warning, |f| {
            f.template(&TURNS.replace("{% if add_generation_prompt %}", "{% if true %}"));
        }),
        ("no_generation_prompt", Severity::Warning, |f| {
            f.template(&TURNS.replace("{% if add_generation_prompt %}", "{% if false %}"));
        }),
        ("template_reorders_messages", Severity::Error, |f| {
            f.template(&TURNS.replace("in messages %}", "in messages | reverse %}"));
        }),
        ("question_without_end", Severity::Warning, |f| {
            f.template(&TURNS.replace("<end_of_turn>", "{{ '<end_of_turn>' if m.role == 'assistant' }}"));
        }),
        ("no_default_template", Severity::Warning, |f| {
            fs::remove_file(f.path("base/chat_template.jinja")).ok();
            f.edit("adapter/tokenizer_config.json", |c| {
                c["chat_template"] = json!([{"name": "tool_use", "template": TURNS}]);
            });
        }),
        ("template_invalid", Severity::Error, |f| {
            fs::remove_file(f.path("base/chat_template.jinja")).ok();
            f.edit("adapter/tokenizer_config.json", |c| c["chat_template"] = json!(5));
        }),
        ("system_message_dropped", Severity::Warning, |f| {
            f.template(
                &TURNS.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
            );
        }),
        ("no_system_role", Severity::Note, |f| {
            f.template(&format!(
                "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('no') }}}}{{% endif %}}{TURNS}"
            ));
        }),
    ];
    assert_named(cases);
}

/// As in Gemma 1: symbols that the trainer was given are pieces like others in tokenizer.json, and their merges are at no score's place.
#[test]
fn symbols_of_the_trainer_need_no_order_of_merges() {
    let folders = Folders::of("gemma1-micro");
    folders.edit("base/tokenizer.json", |json| {
        json["added_tokens"].as_array_mut().unwrap().truncate(4);
        let merges = json["model"]["merges"].as_array_mut().unwrap();
        merges.sort_by_key(|merge| merge.to_string().contains("\\t\\t"));
    });
    let findings = folders.findings();
    assert!(!findings.iter().any(|finding| finding.code == "tokenizer_files_differ"), "{findings:?}");
}

/// What can be merged can be checked.
#[test]
fn a_classifier_has_a_tokenizer_and_no_turns() {
    let folders = Folders::of("gemma3-micro");
    folders.template("{{ no_function() }}");
    for (class, part, code) in [
        ("Gemma3ForSequenceClassification", "config.json", None),
        ("Gemma3ForSequenceClassification", "tokenizer.json", Some("tokenizer_files_differ")),
        ("PaliGemmaForConditionalGeneration", "tokenizer.json", Some("family_not_checked")),
    ] {
        folders.edit("base/config.json", |config| config["architectures"] = json!([class]));
        if part == "tokenizer.json" {
            folders.edit("base/tokenizer.json", |json| json["model"]["merges"] = json!([]));
        }
        let findings = folders.findings();
        assert_eq!(findings.first().map(|finding| finding.code), code, "{class}: {findings:?}");
    }
}

#[test]
fn a_model_with_encoders_needs_a_processor() {
    let folders = Folders::of("families/gemma3-vision");
    assert!(!folders.findings().iter().any(|finding| finding.code == "processor_missing"));
    for name in ["processor_config.json", "preprocessor_config.json"] {
        fs::remove_file(folders.path("base").join(name)).unwrap();
    }
    let finding = &folders.findings()[0];
    assert_eq!((finding.code, finding.severity), ("processor_missing", Severity::Warning));
    fs::write(folders.path("base/preprocessor_config.json"), "[]").unwrap();
    let finding = &folders.findings()[0];
    assert_eq!((finding.code, finding.severity), ("settings_invalid", Severity::Error));
    assert!(finding.message.contains("preprocessor_config.json: is a list"), "{finding:?}");
}

/// What AutoProcessor of transformers needs.
#[test]
fn a_processor_has_settings_for_each_encoder() {
    let image = json!({"image_processor": {}});
    let both = json!({"image_processor": {}, "feature_extractor": {}});
    let of_newer = json!({"image_processor": {}, "audio_processor": {}});
    let without = json!({"image_seq_length": 4, "processor_class": "Gemma3Processor"});
    for (fixture, processors, preprocessor, is_whole) in [
        ("gemma3-vision", None, true, true),
        ("gemma3-vision", Some(&without), true, true),
        ("gemma3-vision", Some(&image), false, true),
        ("gemma3-vision", Some(&without), false, false),
        ("gemma3-vision", Some(&json!({})), false, false),
        ("gemma3-vision", Some(&json!({"image_processor": null})), false, false),
        ("gemma3n-towers", Some(&without), true, true),
        ("gemma3n-towers", Some(&both), false, true),
        ("gemma3n-towers", Some(&of_newer), false, true),
        ("gemma4-towers", Some(&image), false, false),
    ] {
        let folders = Folders::of(&format!("families/{fixture}"));
        let [config, preprocessor_config] =
            ["processor_config.json", "preprocessor_config.json"].map(|name| folders.path("base").join(name));
        for (path, is_there) in [(&config, false), (&preprocessor_config, preprocessor)] {
            if path.exists() && !is_there {
                fs::remove_file(path).unwrap();
            }
        }
        if let Some(processors) = processors {
            fs::write(&config, processors.to_string()).unwrap();
        }
        let found = folders.findings().iter().any(|finding| finding.code == "processor_missing");
        assert_eq!(found, !is_whole, "{fixture}: {processors:?} {preprocessor}");
    }
}

#[test]
fn a_token_of_one_s_own_in_place_of_an_unused_one_is_no_loss() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.edit("base/tokenizer_config.json", |config| {
        config["added_tokens_decoder"]["105"]["content"] = json!("<unused99>");
    });
    assert!(!folders.findings().iter().any(|finding| finding.code == "vocabulary_differs"));
}

/// The tokenizer in a GGUF file of a model.
fn gguf_tokenizer(model: &Model) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let plan = GgufPlan::new(model, &GgufOptions::new(OutputType::Q8_0, "m")).unwrap();
    engine::gguf(&plan, "m.gguf", &mut LocalOutput::create(folder.path()).unwrap(), &RunOptions::default())
        .unwrap();
    let bytes = fs::read(folder.path().join("m.gguf")).unwrap();
    let file = GgufFile::open(&*LocalFolder::open(folder.path()).unwrap().open("m.gguf").unwrap()).unwrap();
    let is_of_tokenizer = |key: &str| key.starts_with("tokenizer.ggml.");
    let values = file.key_values.iter().filter(|value| is_of_tokenizer(&value.key));
    values
        .map(|v| (v.key.clone(), bytes[v.byte_range.start as usize..v.byte_range.end as usize].to_vec()))
        .collect()
}

/// A tokenizer that was saved without the tokens it adds to its pieces, in each of the ways that programs save them.
#[test]
fn the_base_s_vocabulary_is_taken_where_the_adapter_s_only_lacks_tokens() {
    let without_added_tokens = |folders: &Folders| {
        fs::remove_file(folders.path("adapter/tokenizer.model")).unwrap();
        folders.edit("adapter/tokenizer.json", |json| {
            json["added_tokens"]
                .as_array_mut()
                .unwrap()
                .retain(|token| token["id"] != 105 && token["id"] != 106);
        });
        folders.edit("adapter/tokenizer_config.json", |config| {
            let listed = config["added_tokens_decoder"].as_object_mut().unwrap();
            listed.retain(|id, _| !["105", "106"].contains(&id.as_str()));
        });
    };
    let without_pieces = |folders: &Folders| {
        fs::remove_file(folders.path("adapter/tokenizer.model")).unwrap();
        folders.edit("adapter/tokenizer.json", |json| {
            json["model"]["vocab"].as_object_mut().unwrap().retain(|_, id| id.as_u64().unwrap() < 760);
        });
    };
    let almost_without_added_tokens = |folders: &Folders| {
        fs::remove_file(folders.path("adapter/tokenizer.model")).unwrap();
        folders
            .edit("adapter/tokenizer.json", |json| json["added_tokens"].as_array_mut().unwrap().truncate(3));
        folders.edit("adapter/tokenizer_config.json", |config| {
            config.as_object_mut().unwrap().remove("added_tokens_decoder");
        });
    };
    let breaks: [fn(&Folders); 3] = [without_added_tokens, without_pieces, almost_without_added_tokens];
    for part in breaks {
        let folders = Folders::of("gemma3-micro").with_own_tokenizer();
        let opened = || model(&folders.path("base"), &folders.path("adapter"));
        let whole = gguf_tokenizer(&opened());
        part(&folders);
        let findings = folders.findings();
        let found: Vec<_> =
            findings.iter().filter(|finding| finding.severity > Severity::Note).map(|f| f.code).collect();
        assert_eq!(found, ["vocabulary_incomplete"], "{findings:?}");
        assert_eq!(gguf_tokenizer(&opened()), whole);
        let out = folders.path("merged");
        let plan = MergePlan::new(&opened()).unwrap();
        engine::merge(&plan, &mut LocalOutput::create(&out).unwrap(), &RunOptions::default()).unwrap();
        for name in ["tokenizer.json", "tokenizer.model"] {
            let [merged, base] =
                [out.join(name), folders.path("base").join(name)].map(|p| fs::read(p).unwrap());
            assert_eq!(merged, base, "{name}");
        }
    }
}

/// A piece that training made an added token of is lost with the base's vocabulary.
#[test]
fn a_vocabulary_with_an_added_token_of_its_own_is_not_replaced() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.edit("adapter/tokenizer.json", |json| {
        let piece = json["model"]["vocab"].as_object().unwrap().iter().find(|(_, id)| **id == 500).unwrap();
        let promoted = json!({"id": 500, "content": piece.0, "special": false});
        let tokens = json["added_tokens"].as_array_mut().unwrap();
        tokens.retain(|token| token["id"] != 4);
        tokens.push(promoted);
    });
    folders.edit("adapter/tokenizer_config.json", |config| {
        config["added_tokens_decoder"].as_object_mut().unwrap().remove("4");
    });
    fs::remove_file(folders.path("adapter/tokenizer.model")).unwrap();
    let codes: Vec<_> = folders.findings().iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"vocabulary_differs") && !codes.contains(&"vocabulary_incomplete"), "{codes:?}");
}

/// `tokenizer.model` calls the token of what is unknown by a type of its own, and the lists of added tokens a control token.
#[test]
fn the_unknown_token_is_not_lost_where_only_its_type_differs() {
    for name in ["gemma2-micro", "gemma3-micro"] {
        let folders = Folders::of(name);
        fs::copy(folders.path("base/tokenizer.model"), folders.path("adapter/tokenizer.model")).unwrap();
        let is_of_vocabulary = |finding: &Finding| finding.code.starts_with("vocabulary_");
        let findings = folders.findings();
        let lost = findings.iter().find(|finding| is_of_vocabulary(finding));
        assert!(lost.is_none_or(|finding| !finding.message.contains("<unk>")), "{lost:?}");
    }
}

#[test]
fn a_vocabulary_with_tokens_of_its_own_is_not_replaced() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.add_only_a_token_of_its_own();
    let codes: Vec<_> = folders.findings().iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"vocabulary_differs") && !codes.contains(&"vocabulary_incomplete"), "{codes:?}");
}

/// Files of which no tokenizer can be made, with a token of their own.
#[test]
fn a_vocabulary_that_is_invalid_and_has_a_token_of_its_own_is_not_replaced() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    fs::remove_file(folders.path("adapter/tokenizer.model")).unwrap();
    folders.add_only_a_token_of_its_own();
    let codes: Vec<_> = folders.findings().iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"tokenizer_invalid") && !codes.contains(&"vocabulary_incomplete"), "{codes:?}");
}

#[test]
fn a_list_of_added_tokens_that_is_null_is_empty() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.edit("adapter/tokenizer.json", |json| json["added_tokens"] = Value::Null);
    assert!(!folders.findings().iter().any(|finding| finding.code == "settings_invalid"));
}

#[test]
fn the_eos_ids_of_a_config_stand_for_those_of_a_generation_config() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.edit("adapter/tokenizer_config.json", |config| config["eos_token"] = json!("<eos>"));
    let has_finding = || folders.findings().iter().any(|finding| finding.code == "turn_end_not_in_stop_set");
    assert!(has_finding());
    fs::remove_file(folders.path("base/generation_config.json")).unwrap();
    folders.edit("base/config.json", |config| config["eos_token_id"] = json!([1, 106]));
    assert!(!has_finding());
}

/// Fixtures, and the folders below `REFERENCE_DIR` if it is set. The templates of the fixtures with encoders take content as
/// texts only.
#[test]
fn models_in_which_nothing_is_broken_have_no_warning() {
    let mut pending = vec![fixtures()];
    pending.extend(std::env::var_os("REFERENCE_DIR").map(PathBuf::from));
    let mut checked = 0;
    while let Some(folder) = pending.pop() {
        if folder.join("base/config.json").exists() {
            let serious: Vec<_> = check(&folder.join("base"), &folder.join("adapter"))
                .into_iter()
                .filter(|finding| finding.severity > Severity::Note && finding.code != "no_content_parts")
                .collect();
            assert!(serious.is_empty(), "{}: {serious:?}", folder.display());
            checked += 1;
        } else {
            let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            pending.extend(entries.filter(|path| path.is_dir()));
        }
    }
    assert!(checked >= 14, "{checked} models");
}

#[test]
fn plans_and_reports_have_the_findings() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    folders.edit("adapter/tokenizer_config.json", |c| c["pad_token"] = json!("<end_of_turn>"));
    let model = model(&folders.path("base"), &folders.path("adapter"));
    let findings = check_serving(&model).unwrap();
    assert!(findings.iter().any(|finding| finding.code == "pad_ends_answers"));
    let merge = MergePlan::new(&model).unwrap();
    let gguf = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "m")).unwrap();
    let lora = LoraPlan::new(&model, TensorType::F16, "m").unwrap();
    for planned in [merge.findings(), gguf.findings(), lora.findings()] {
        assert_eq!(planned, findings);
    }
    let run = RunOptions::default();
    let output = || LocalOutput::create(folders.path("out")).unwrap();
    engine::merge(&merge, &mut output(), &run).unwrap();
    engine::gguf(&gguf, "m.gguf", &mut output(), &run).unwrap();
    lora.write("lora.gguf", &mut output(), &run).unwrap();
    for report in ["export-report.json", "m.report.json", "lora.report.json"] {
        let report: Value =
            serde_json::from_slice(&fs::read(folders.path("out").join(report)).unwrap()).unwrap();
        assert_eq!(report["findings"], serde_json::to_value(&findings).unwrap());
    }
}

#[test]
fn a_merge_does_not_need_a_valid_tokenizer_or_generation_config() {
    let folders = Folders::of("gemma3-micro").with_own_tokenizer();
    let plan = || MergePlan::new(&model(&folders.path("base"), &folders.path("adapter"))).unwrap();
    let codes = |plan: &MergePlan| plan.findings().iter().map(|finding| finding.code).collect::<Vec<_>>();
    let before = codes(&plan());
    fs::write(folders.path("base/tokenizer.model"), "no pieces").unwrap();
    assert_eq!(codes(&plan()), before, "the adapter's tokenizer is whole");
    fs::write(folders.path("base/generation_config.json"), "{").unwrap();
    let found = plan();
    assert_eq!(codes(&found), ["settings_invalid", "no_tool_calls"], "what else is found is not lost");
    let message = &found.findings()[0].message;
    assert!(message.starts_with("generation_config.json: "), "no folder, and the file: {message}");
}
