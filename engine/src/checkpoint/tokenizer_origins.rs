//! The folder that each tokenizer file comes from, base or adapter. Files that belong together come from one folder.
//!
//! | group | files | from the adapter if it has |
//! | --- | --- | --- |
//! | vocabulary | `tokenizer.json`, `tokenizer.model`, `added_tokens.json`, `vocab.json`, `merges.txt` | `tokenizer.json` or `tokenizer.model` |
//! | special tokens | `tokenizer_config.json`, `special_tokens_map.json` | `tokenizer_config.json` |
//! | chat template | `chat_template.jinja`, `chat_template.json`, `additional_chat_templates/`, `chat_template` in `tokenizer_config.json` and `processor_config.json` | any of them |
//!
//! transformers' `AutoTokenizer` does not load a folder without the files of the third column. An adapter that names
//! added tokens, but has no vocabulary, has its `added_tokens.json` in place of the base's. A vocabulary of the adapter's that only
//! lacks tokens of the base's is not taken (`tokenizer::TokenizerChange`).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::config::{ConfigEdit, EditedSection};
use super::model_files::{FileOrigin, open_optional};
use crate::error::{Error, Result};
use crate::io::json;
use crate::io::{Folder, read_source};

/// The subfolder of chat templates besides the default one.
pub(crate) const TEMPLATE_FOLDER: &str = "additional_chat_templates";

/// The key of a chat template in a JSON file.
const TEMPLATE_KEY: &str = "chat_template";

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const PROCESSOR_CONFIG: &str = "processor_config.json";

/// The origin of each group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenizerOrigins {
    vocabulary: FileOrigin,
    added_tokens: FileOrigin,
    special_tokens: FileOrigin,
    chat_template: FileOrigin,
    /// The names of the files in `additional_chat_templates/`, sorted.
    additional_templates: Vec<String>,
}

impl TokenizerOrigins {
    pub(super) fn of(base: &dyn Folder, adapter: Option<&dyn Folder>) -> Result<Self> {
        let base_templates = additional_templates(base)?;
        let Some(adapter) = adapter else {
            return Ok(Self {
                vocabulary: FileOrigin::Base,
                added_tokens: FileOrigin::Base,
                special_tokens: FileOrigin::Base,
                chat_template: FileOrigin::Base,
                additional_templates: base_templates,
            });
        };
        let has = |name: &str| Ok::<_, Error>(open_optional(adapter, name)?.is_some());
        let has_vocabulary = has("tokenizer.json")? || has("tokenizer.model")?;
        let has_special_tokens = has(TOKENIZER_CONFIG)?;
        let adapter_templates = additional_templates(adapter)?;
        let has_template = has("chat_template.jinja")?
            || has("chat_template.json")?
            || !adapter_templates.is_empty()
            || template_in(adapter, TOKENIZER_CONFIG)?.is_some()
            || template_in(adapter, PROCESSOR_CONFIG)?.is_some();
        let adapter_if = |wins| if wins { FileOrigin::Adapter } else { FileOrigin::Base };
        Ok(Self {
            vocabulary: adapter_if(has_vocabulary),
            added_tokens: adapter_if(has_vocabulary || (has_special_tokens && has("added_tokens.json")?)),
            special_tokens: adapter_if(has_special_tokens),
            chat_template: adapter_if(has_template),
            additional_templates: if has_template { adapter_templates } else { base_templates },
        })
    }

    /// The same with the base's vocabulary, of which the adapter's lacks tokens.
    pub(super) fn with_base_vocabulary(&self) -> Self {
        Self { vocabulary: FileOrigin::Base, added_tokens: FileOrigin::Base, ..self.clone() }
    }

    /// The folder that a small file comes from.
    pub(super) fn of_file(&self, name: &str) -> FileOrigin {
        match name {
            "tokenizer.json" | "tokenizer.model" | "vocab.json" | "merges.txt" => self.vocabulary,
            "added_tokens.json" => self.added_tokens,
            TOKENIZER_CONFIG | "special_tokens_map.json" => self.special_tokens,
            "chat_template.jinja" | "chat_template.json" => self.chat_template,
            name if name.starts_with(TEMPLATE_FOLDER) => self.chat_template,
            _ => FileOrigin::Base,
        }
    }

    /// The folder that the `chat_template` in a file comes from, if that is not the file's own.
    pub(super) fn other_template(&self, name: &str) -> Option<FileOrigin> {
        let has_key = matches!(name, TOKENIZER_CONFIG | PROCESSOR_CONFIG);
        Some(self.chat_template).filter(|origin| has_key && *origin != self.of_file(name))
    }

    /// The names of the templates besides the default one, with their folder.
    pub(super) fn additional_templates(&self) -> &[String] {
        &self.additional_templates
    }
}

/// The edit that gives a file the template of the same file in another folder, or removes its own. `None` if it has none
/// either way.
pub(super) fn template_edit(
    file: &str,
    bytes: &[u8],
    other: &dyn Folder,
    name: &str,
) -> Result<Option<ConfigEdit>> {
    let value = template_in(other, name)?;
    let has_own = json::parse::<TemplateField>(file, bytes)?.chat_template.is_some();
    let edit = ConfigEdit { key: TEMPLATE_KEY, value, section: EditedSection::Everywhere };
    Ok((has_own || edit.value.is_some()).then_some(edit))
}

/// The only key of `tokenizer_config.json` that is read here.
#[derive(Deserialize)]
struct TemplateField {
    #[serde(default)]
    chat_template: Option<Box<RawValue>>,
}

/// The value of `chat_template` in a JSON file of a folder, as the file has it.
fn template_in(folder: &dyn Folder, name: &str) -> Result<Option<String>> {
    let Some(source) = open_optional(folder, name)? else { return Ok(None) };
    let fields: TemplateField = json::parse(source.location(), &read_source(&*source)?)?;
    Ok(fields.chat_template.map(|value| value.get().to_owned()))
}

fn additional_templates(folder: &dyn Folder) -> Result<Vec<String>> {
    let listed = folder.list_subfolder(TEMPLATE_FOLDER);
    let mut names = listed.map_err(|e| Error::read(format!("{}/{TEMPLATE_FOLDER}", folder.location()), e))?;
    names.retain(|name| name.ends_with(".jinja"));
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::Value;

    use crate::checkpoint::{ModelConfig, ModelFiles};
    use crate::io::LocalFolder;

    /// Every file that a complete base has; the content is the folder's name, in JSON where a template may be.
    const COMPLETE: [&str; 9] = [
        "tokenizer.json",
        "tokenizer.model",
        "added_tokens.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "chat_template.json",
        "additional_chat_templates/tool.jinja",
        "processor_config.json",
    ];

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The folder that each file of the exported model comes from, for a complete base without a template in a JSON
    /// file, and an adapter with these files.
    fn origins(adapter: &[&str]) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let [base_folder, adapter_folder] = ["base", "adapter"].map(|name| folder.path().join(name));
        for (folder, names) in [(&base_folder, &COMPLETE[..]), (&adapter_folder, adapter)] {
            fs::create_dir(folder).unwrap();
            let name = folder.file_name().unwrap().display();
            names.iter().for_each(|file| write(folder, file, &format!(r#"{{"from": "{name}"}}"#)));
        }
        let files = files(&base_folder, &adapter_folder);
        let names = COMPLETE.iter().filter(|name| !name.contains('/')).map(|name| (*name).to_owned());
        let mut found = BTreeMap::new();
        for name in names.chain(files.additional_templates().unwrap().to_vec()) {
            if let Some(file) = files.read(&name).unwrap() {
                let value: Value = serde_json::from_slice(&file.bytes).unwrap();
                found.insert(name, value["from"].as_str().unwrap().to_owned());
            }
        }
        found
    }

    fn files(base: &Path, adapter: &Path) -> ModelFiles {
        let open = |path: &Path| Arc::new(LocalFolder::open(path).unwrap());
        let config = Arc::new(ModelConfig::parse("config.json".to_owned(), b"{}").unwrap());
        ModelFiles::new(open(base), Some(open(adapter)), config)
    }

    #[test]
    fn files_that_belong_together_come_from_one_folder() {
        let vocabulary = ["tokenizer.json", "tokenizer.model", "added_tokens.json"];
        let special = ["tokenizer_config.json", "special_tokens_map.json"];
        let template = ["chat_template.jinja", "chat_template.json", "additional_chat_templates/tool.jinja"];
        for (adapter, from_adapter, left_out) in [
            (&[][..], &[][..], &[][..]),
            (&["tokenizer.json"], &["tokenizer.json"], &vocabulary[1..]),
            (&["tokenizer.model"], &["tokenizer.model"], &["tokenizer.json", "added_tokens.json"]),
            (&["tokenizer_config.json"], &["tokenizer_config.json"], &special[1..]),
            (&["chat_template.jinja"], &["chat_template.jinja"], &template[1..]),
            (&["chat_template.json"], &["chat_template.json"], &[template[0], template[2]]),
            (&[template[2]], &[template[2]], &template[..2]),
            // no folder that transformers loads
            (&["special_tokens_map.json"], &[], &[]),
            (&["added_tokens.json"], &[], &[]),
            (&["generation_config.json"], &[], &[]),
            // names of added tokens, whose vocabulary is the base's
            (&["added_tokens.json", special[0]], &["added_tokens.json", special[0]], &special[1..]),
        ] {
            let found = origins(adapter);
            for name in COMPLETE {
                let expected = match name {
                    name if from_adapter.contains(&name) => Some("adapter"),
                    name if left_out.contains(&name) => None,
                    _ => Some("base"),
                };
                assert_eq!(found.get(name).map(String::as_str), expected, "{name} with {adapter:?}");
            }
        }
    }

    /// The `chat_template` of each JSON file of the exported model, and the text of the jinja file.
    fn templates(base: &[(&str, &str)], adapter: &[(&str, &str)]) -> [Option<String>; 3] {
        let folder = tempfile::tempdir().unwrap();
        let [base_folder, adapter_folder] = ["base", "adapter"].map(|name| folder.path().join(name));
        for (folder, files) in [(&base_folder, base), (&adapter_folder, adapter)] {
            fs::create_dir(folder).unwrap();
            files.iter().for_each(|(name, text)| write(folder, name, text));
        }
        let files = files(&base_folder, &adapter_folder);
        ["tokenizer_config.json", "processor_config.json", "chat_template.jinja"].map(|name| {
            let text = String::from_utf8(files.read(name).unwrap()?.bytes).unwrap();
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => Some(value.get("chat_template")?.as_str()?.to_owned()),
                Err(_) => Some(text),
            }
        })
    }

    #[test]
    fn a_template_in_a_json_file_follows_the_group() {
        let config = |text: &'static str| ("tokenizer_config.json", text);
        let (tuned, base) =
            (config(r#"{"chat_template": "TUNED"}"#), config(r#"{"a": 1, "chat_template": "BASE"}"#));
        let processor = ("processor_config.json", r#"{"chat_template": "BASE"}"#);
        let some = |text: &str| Some(text.to_owned());
        // the base's template is removed where the adapter brings one
        assert_eq!(templates(&[base], &[("chat_template.jinja", "TUNED")]), [None, None, some("TUNED")]);
        assert_eq!(templates(&[("chat_template.jinja", "BASE")], &[tuned]), [some("TUNED"), None, None]);
        assert_eq!(templates(&[base, processor], &[tuned]), [some("TUNED"), None, None]);
        // and kept where the adapter brings none, also beside its special tokens
        assert_eq!(templates(&[base], &[config("{}")]), [some("BASE"), None, None]);
        assert_eq!(templates(&[base], &[config(r#"{"chat_template": null}"#)]), [some("BASE"), None, None]);
        assert_eq!(templates(&[base, processor], &[]), [some("BASE"), some("BASE"), None]);
        let own = ("processor_config.json", r#"{"chat_template": "TUNED"}"#);
        assert_eq!(templates(&[base, processor], &[own]), [None, some("TUNED"), None]);
    }

    #[test]
    fn a_file_that_is_not_edited_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["base", "adapter"] {
            write(&folder.path().join(part), "tokenizer_config.json", "{ \"a\":1}\r\n");
        }
        let files = files(&folder.path().join("base"), &folder.path().join("adapter"));
        assert_eq!(files.read("tokenizer_config.json").unwrap().unwrap().bytes, b"{ \"a\":1}\r\n");
        assert_eq!(files.edited("tokenizer_config.json").unwrap(), None);
    }
}
