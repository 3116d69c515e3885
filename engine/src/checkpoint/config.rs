//! `config.json`. The callers supply class defaults for missing keys.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::config_field::ConfigField;
use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

/// The section of the language model in the configuration of a multimodal model.
const TEXT_CONFIG: &str = "text_config";

/// A model's configuration. A field is read in the section of the language model: `text_config` of a multimodal model, else
/// the top level. transformers' multimodal classes read nothing about the language model at the top level.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    file: String,
    /// The section of the file that this is, with a dot after it; empty for the whole.
    section: String,
    root: Map<String, Value>,
}

impl ModelConfig {
    pub(crate) fn parse(file: String, bytes: &[u8]) -> Result<Self> {
        let root = json::parse(&file, bytes)?;
        Ok(Self { file, section: String::new(), root })
    }

    /// The file's location, for error messages.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The first entry of `architectures`.
    pub fn class(&self) -> Option<&str> {
        self.root.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// `model_type`.
    pub fn model_type(&self) -> Option<&str> {
        self.root.get("model_type")?.as_str()
    }

    /// A field at the top level.
    pub(crate) fn top_level(&self, key: &str) -> ConfigField<'_> {
        ConfigField::new(&self.file, &self.section, &self.root, key)
    }

    /// A field of the language model.
    pub(crate) fn field(&self, key: &str) -> ConfigField<'_> {
        match self.root.get(TEXT_CONFIG).and_then(Value::as_object) {
            Some(text) => ConfigField::new(&self.file, "text_config.", text, key),
            None => self.top_level(key),
        }
    }

    /// Whether embedding and lm_head are one tensor where the checkpoint does not store both. transformers reads the field at
    /// the top level of a multimodal model too.
    pub(crate) fn ties_embeddings(&self) -> Result<bool> {
        Ok(self.top_level("tie_word_embeddings").bool()?.unwrap_or(true))
    }

    /// A nested configuration, such as `vision_config`.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Self>> {
        let root = self.top_level(key).object()?.cloned();
        Ok(root.map(|root| Self { file: self.file.clone(), section: format!("{key}."), root }))
    }

    /// Refuses the configuration of a multimodal class without a section of the language model: transformers then takes the
    /// sizes that the class has by default, whatever is at the top level.
    pub(crate) fn require_text_config(&self) -> Result<()> {
        match self.top_level(TEXT_CONFIG).object()? {
            Some(_) => Ok(()),
            None => Err(Error::invalid(
                &self.file,
                format!("has no {TEXT_CONFIG}, in which its class reads the language model's configuration"),
            )),
        }
    }

    /// All fields at the top level.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.root.iter().map(|(field, value)| (field.as_str(), value))
    }

    /// Whether the configuration has no keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// A count.
    pub(crate) fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.field(key).u32()
    }

    /// A required count.
    pub(crate) fn required_u32(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| Error::invalid(&self.file, format!("has no {key}")))
    }

    /// Whether a field of the language model is explicitly `null`.
    pub(crate) fn is_null(&self, key: &str) -> bool {
        self.field(key).is_null()
    }

    /// A number.
    pub(crate) fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.field(key).f32()
    }

    /// A boolean.
    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.field(key).bool()
    }
}

/// A change of `config.json`.
#[derive(Debug, Clone)]
pub(crate) struct ConfigEdit {
    pub(crate) key: &'static str,
    /// As JSON; `None` removes the key.
    pub(crate) value: Option<String>,
    pub(crate) section: EditedSection,
}

/// Where a key is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EditedSection {
    /// At the top level, and in `text_config` of a multimodal model.
    Everywhere,
    /// In `text_config` of a multimodal model, else at the top level.
    LanguageModel,
}

/// Sets or removes values. A section that has the key already has its value replaced in any case. Everything else keeps
/// its bytes and order.
pub(crate) fn edit_config(file: &str, bytes: &[u8], edits: &[ConfigEdit]) -> Result<Vec<u8>> {
    let OrderedMap(mut entries) = json::parse::<OrderedMap<Box<RawValue>>>(file, bytes)?;
    let raw = |text: String| RawValue::from_string(text).map_err(|e| Error::invalid(file, e.to_string()));
    let is_section =
        |(key, value): &(String, Box<RawValue>)| key == TEXT_CONFIG && value.get().starts_with('{');
    let section = entries.iter().position(is_section);
    if let Some(section) = section {
        let text = edit_config(file, entries[section].1.get().as_bytes(), edits)?;
        entries[section].1 = raw(String::from_utf8_lossy(&text).into_owned())?;
    }
    for edit in edits {
        let held = entries.iter().position(|(key, _)| key == edit.key);
        if let Some(held) = held {
            entries.remove(held);
        }
        let is_here = held.is_some() || section.is_none() || edit.section == EditedSection::Everywhere;
        if let Some(value) = edit.value.clone().filter(|_| is_here) {
            entries.push((edit.key.to_owned(), raw(value)?));
        }
    }
    let lines: Vec<String> =
        entries.iter().map(|(k, v)| format!("  {}: {}", Value::from(k.as_str()), v.get())).collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIE: ConfigEdit = edit("tie_word_embeddings", EditedSection::Everywhere);
    const RESIZE: ConfigEdit = edit("vocab_size", EditedSection::LanguageModel);

    const fn edit(key: &'static str, section: EditedSection) -> ConfigEdit {
        ConfigEdit { key, value: None, section }
    }

    fn edited(text: &str, edits: &[(ConfigEdit, Option<&str>)]) -> (String, Value) {
        let with_value = |(edit, value): &(ConfigEdit, Option<&str>)| ConfigEdit {
            value: value.map(str::to_owned),
            ..edit.clone()
        };
        let edits: Vec<ConfigEdit> = edits.iter().map(with_value).collect();
        let text = String::from_utf8(edit_config("c", text.as_bytes(), &edits).unwrap()).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    fn config(text: &str) -> ModelConfig {
        ModelConfig::parse("config.json".to_owned(), text.as_bytes()).unwrap()
    }

    #[test]
    fn the_language_model_of_a_multimodal_model_is_described_in_its_section_alone() {
        let config = config(
            r#"{"sliding_window": 8, "head_dim": 4, "hidden_size": 1, "text_config": {"sliding_window": null, "hidden_size": 2}}"#,
        );
        assert_eq!(config.u32("sliding_window").unwrap(), None);
        assert!(config.is_null("sliding_window") && !config.is_null("head_dim"));
        assert_eq!(config.u32("head_dim").unwrap(), None);
        assert_eq!(config.u32("hidden_size").unwrap(), Some(2));
        assert_eq!(config.top_level("hidden_size").u32().unwrap(), Some(1));
    }

    #[test]
    fn embeddings_are_tied_by_the_top_level() {
        for (text, tied) in [
            (r#"{"tie_word_embeddings": false}"#, false),
            (r#"{"tie_word_embeddings": false, "text_config": {"tie_word_embeddings": true}}"#, false),
            (r#"{"text_config": {"tie_word_embeddings": false}}"#, true),
            ("{}", true),
        ] {
            assert_eq!(config(text).ties_embeddings().unwrap(), tied, "{text}");
        }
        assert!(config(r#"{"tie_word_embeddings": "false"}"#).ties_embeddings().is_err());
    }

    #[test]
    fn an_edited_config_keeps_everything_else() {
        let text =
            r#"{"z": 1.50, "tie_word_embeddings": true, "c": {}, "text_config": {"vocab_size": 1, "b": 2}}"#;
        let removed = edit("c", EditedSection::Everywhere);
        let (text, value) = edited(text, &[(UNTIE, Some("false")), (RESIZE, Some("9")), (removed, None)]);
        assert!(text.contains("\"z\": 1.50"), "{text}");
        assert_eq!((&value["tie_word_embeddings"], value.get("c")), (&false.into(), None));
        assert_eq!((&value["text_config"]["vocab_size"], &value["text_config"]["b"]), (&9.into(), &2.into()));
    }

    #[test]
    fn a_field_of_the_language_model_is_set_where_its_class_reads_it() {
        for (text, expected) in [
            (r#"{"text_config": {"a": 1}}"#, serde_json::json!({"text_config": {"a": 1, "vocab_size": 9}})),
            (r#"{"a": 1}"#, serde_json::json!({"a": 1, "vocab_size": 9})),
            (
                r#"{"vocab_size": 8, "text_config": {}}"#,
                serde_json::json!({"vocab_size": 9, "text_config": {"vocab_size": 9}}),
            ),
            (r#"{"text_config": null}"#, serde_json::json!({"text_config": null, "vocab_size": 9})),
        ] {
            assert_eq!(edited(text, &[(RESIZE, Some("9"))]).1, expected, "{text}");
        }
    }

    #[test]
    fn tied_embeddings_are_set_everywhere() {
        let (_, value) = edited(r#"{"text_config": {}}"#, &[(UNTIE, Some("false"))]);
        let expected =
            serde_json::json!({"text_config": {"tie_word_embeddings": false}, "tie_word_embeddings": false});
        assert_eq!(value, expected);
    }
}
