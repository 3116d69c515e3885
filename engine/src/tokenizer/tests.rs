//! Special tokens and chat templates of folders with different files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::io::LocalFolder;

/// A copy of a small base with other files, and an adapter's folder beside it.
struct Folders(tempfile::TempDir);

impl Folders {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gemma3-micro/base");
        for part in ["base", "adapter"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        for entry in fs::read_dir(fixture).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join("base").join(path.file_name().unwrap())).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
        self
    }

    /// Sets a field of a JSON file of the base; `Null` removes it.
    fn set(self, file: &str, field: &str, value: Value) -> Self {
        let path = self.path(&format!("base/{file}"));
        let mut fields: serde_json::Map<String, Value> =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        fields.remove(field);
        if !value.is_null() {
            fields.insert(field.to_owned(), value);
        }
        fs::write(&path, serde_json::to_vec(&fields).unwrap()).unwrap();
        self
    }

    /// The tokenizer of the base with the adapter's files.
    fn tokenizer(&self) -> Tokenizer {
        let open = |name| Arc::new(LocalFolder::open(self.path(name)).unwrap());
        let files = Checkpoint::open(open("base")).unwrap().files(Some(open("adapter")));
        let rows = EmbeddingRows { stored: None, resized: None };
        Tokenizer::open(&files, Architecture::Gemma3, rows).unwrap()
    }

    fn metadata(&self) -> GgufMetadata {
        let mut metadata = GgufMetadata::new("gemma3");
        self.tokenizer().set_metadata(&mut metadata);
        metadata
    }

    fn ids(&self) -> [Option<String>; 4] {
        let metadata = self.metadata();
        ["bos", "eos", "unknown", "padding"]
            .map(|kind| metadata.text(&format!("tokenizer.ggml.{kind}_token_id")))
    }

    fn template(&self) -> Option<String> {
        self.metadata().text("tokenizer.chat_template")
    }
}

fn ids(ids: [u32; 4]) -> [Option<String>; 4] {
    ids.map(|id| Some(id.to_string()))
}

/// `tokenizer_config.json` with a template.
fn config(template: &str) -> String {
    json!({"eos_token": "<eos>", "chat_template": template}).to_string()
}

#[test]
fn without_tokenizer_json_special_tokens_are_those_that_tokenizer_config_names() {
    let slow =
        || Folders::new().without("base/tokenizer.json").set("config.json", "eos_token_id", json!([1, 106]));
    assert_eq!(slow().ids(), ids([2, 106, 3, 0]));
    // by the pieces of tokenizer.model
    let no_decoder = slow().set("tokenizer_config.json", "added_tokens_decoder", Value::Null);
    assert_eq!(no_decoder.without("base/special_tokens_map.json").ids(), ids([2, 106, 3, 0]));
    let no_names = slow().set("tokenizer_config.json", "eos_token", Value::Null);
    // transformers' default
    assert_eq!(no_names.ids(), ids([2, 1, 3, 0]));
}

/// gguf-py has no keys for these kinds.
#[test]
fn special_tokens_without_a_key_are_left_out() {
    let folders = Folders::new()
        .set("tokenizer_config.json", "cls_token", json!("<bos>"))
        .set("tokenizer_config.json", "add_pad_token", json!(true))
        .set("config.json", "cls_token_id", json!(6));
    let metadata = folders.metadata();
    for key in ["cls_token_id", "add_pad_token"] {
        assert_eq!(metadata.text(&format!("tokenizer.ggml.{key}")), None, "{key}");
    }
    assert!(metadata.text("tokenizer.ggml.add_bos_token").is_some());
}

#[test]
fn user_defined_pieces_are_added_tokens_where_no_file_lists_these() {
    let slow = Folders::new().without("base/tokenizer.json");
    let expected = slow.tokenizer().vocabulary.types;
    let no_decoder = slow.set("tokenizer_config.json", "added_tokens_decoder", Value::Null);
    let found = no_decoder.tokenizer().vocabulary.types;
    // <start_of_turn>, <end_of_turn>, a newline
    assert_eq!(found[105..108], [TokenType::Control, TokenType::Control, TokenType::UserDefined]);
    // <unk> is Unknown by its piece
    assert!(found[4..] == expected[4..]);
}

#[test]
fn special_tokens_map_counts_where_there_is_no_added_tokens_decoder() {
    let folders =
        || Folders::new().with("base/special_tokens_map.json", r#"{"eos_token": {"content": "<eos>"}}"#);
    assert_eq!(folders().ids()[1].as_deref(), Some("106"));
    let no_decoder = folders().set("tokenizer_config.json", "added_tokens_decoder", Value::Null);
    assert_eq!(no_decoder.ids()[1].as_deref(), Some("1"));
}

/// Compared with `apply_chat_template` of transformers 5.
#[test]
fn templates_have_the_special_tokens_that_transformers_loads() {
    let template =
        "{{ bos_token }}|{{ eos_token }}|{{ mask_token }}|{{ sep_token }}|{{ boi_token }}|{{ foo }}";
    let config = |fields: &[(&str, Value)]| {
        let folders = Folders::new().with("base/chat_template.jinja", template).set(
            "config.json",
            "eos_token_id",
            json!(106),
        );
        fields.iter().fold(folders, |folders, (field, value)| {
            folders.set("tokenizer_config.json", field, value.clone())
        })
    };
    let text = |folders: Folders| {
        let renderer = ChatRenderer::new(&folders.tokenizer()).unwrap().unwrap();
        renderer.render(&Conversation::default(), false).unwrap()
    };
    let extra = json!({"foo": {"content": "<f>"}});
    for (fields, expected) in [
        (&[][..], "<bos>|<end_of_turn>|<mask>|||"),
        (&[("eos_token", Value::Null)], "<bos>|<eos>|<mask>|||"),
        (&[("eos_token", json!("<zzz>"))], "<bos>|<zzz>|<mask>|||"),
        (
            &[("sep_token", json!("<sep>")), ("boi_token", json!("<b>"))],
            "<bos>|<end_of_turn>|<mask>|<sep>|<b>|",
        ),
        (&[("extra_special_tokens", extra.clone())], "<bos>|<end_of_turn>|<mask>|||<f>"),
        (&[("model_specific_special_tokens", extra)], "<bos>|<end_of_turn>|<mask>|||<f>"),
    ] {
        assert_eq!(text(config(fields)), expected, "{fields:?}");
    }
    let null = r#"{"bos_token": null, "eos_token": "<eos>"}"#;
    let null = config(&[]).with("base/tokenizer_config.json", null).without("base/special_tokens_map.json");
    assert_eq!(text(null), "|<eos>|<mask>|||");
    // a GGUF file has the id of config.json
    let without_eos = config(&[("eos_token", Value::Null)]);
    assert_eq!(without_eos.tokenizer().loaded_special_id("eos"), Some(1));
    assert_eq!(without_eos.tokenizer().special_id("eos"), Some(106));
}

#[test]
fn an_adapters_special_tokens_do_not_mix_with_the_bases() {
    // as transformers 5 saves it; the base's special_tokens_map.json says <end_of_turn>
    let tuned =
        r#"{"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<unused3>", "unk_token": "<unk>"}"#;
    let folders = Folders::new().with("adapter/tokenizer_config.json", tuned);
    assert_eq!(folders.ids(), ids([2, 1, 3, 9]));
}

#[test]
fn the_adapters_template_wins_from_any_file() {
    let in_config = || Folders::new().with("base/tokenizer_config.json", &config("BASE"));
    assert_eq!(in_config().template().as_deref(), Some("BASE"));
    assert_eq!(in_config().with("adapter/chat_template.jinja", "TUNED").template().as_deref(), Some("TUNED"));
    let in_jinja = || Folders::new().with("base/chat_template.jinja", "BASE");
    assert_eq!(in_jinja().template().as_deref(), Some("BASE"));
    let tuned = in_jinja().with("adapter/tokenizer_config.json", &config("TUNED"));
    assert_eq!(tuned.template().as_deref(), Some("TUNED"));
    // an adapter without a template has the base's
    let plain = in_config().with("adapter/tokenizer_config.json", r#"{"eos_token": "<eos>"}"#);
    assert_eq!(plain.template().as_deref(), Some("BASE"));
    let processors = Folders::new().with("base/tokenizer_config.json", &config("BASE"));
    let tuned = processors.with("adapter/chat_template.json", r#"{"chat_template": "TUNED"}"#);
    assert_eq!(tuned.template().as_deref(), Some("TUNED"));
}

#[test]
fn of_one_folder_the_template_file_wins_as_in_transformers() {
    let folders = Folders::new()
        .with("base/tokenizer_config.json", &config("CONFIG"))
        .with("base/chat_template.jinja", "A\r\nB");
    assert_eq!(folders.template().as_deref(), Some("A\nB"));
}

#[test]
fn further_templates_have_names() {
    let folders = Folders::new()
        .with("base/chat_template.jinja", "DEFAULT")
        .with("base/additional_chat_templates/tool-use.jinja", "TOOL")
        .with("base/additional_chat_templates/rag.jinja", "RAG")
        .with("base/additional_chat_templates/notes.txt", "no template");
    let metadata = folders.metadata();
    assert_eq!(metadata.text("tokenizer.chat_template").as_deref(), Some("DEFAULT"));
    assert_eq!(metadata.text("tokenizer.chat_template.tool_use").as_deref(), Some("TOOL"));
    assert_eq!(metadata.text("tokenizer.chat_template.rag").as_deref(), Some("RAG"));
    assert_eq!(metadata.text("tokenizer.chat_templates").as_deref(), Some("2 strings"));
    // the adapter's single template replaces all of them
    let metadata = folders.with("adapter/chat_template.jinja", "TUNED").metadata();
    assert_eq!(metadata.text("tokenizer.chat_template").as_deref(), Some("TUNED"));
    assert_eq!(metadata.text("tokenizer.chat_templates"), None);
}
