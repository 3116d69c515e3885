//! `config.json`. The callers supply class defaults for missing keys.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

/// A model's configuration. Lookups prefer the language model's section (`text_config`) to the top level.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    file: String,
    root: Map<String, Value>,
}

impl ModelConfig {
    pub(crate) fn parse(file: String, bytes: &[u8]) -> Result<Self> {
        let root = json::parse(&file, bytes)?;
        Ok(Self { file, root })
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

    /// The value of `key` at the top level only. `null` counts as missing.
    pub(crate) fn top_level(&self, key: &str) -> Option<&Value> {
        self.root.get(key).filter(|v| !v.is_null())
    }

    /// The value of `key` in `text_config`, else at the top level. `null` counts as missing.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let text = self.root.get("text_config").and_then(Value::as_object).and_then(|t| t.get(key));
        text.filter(|v| !v.is_null()).or_else(|| self.top_level(key))
    }

    /// A nested configuration, such as `vision_config`.
    pub(crate) fn section(&self, key: &str) -> Option<Self> {
        let root = self.root.get(key)?.as_object()?.clone();
        Some(Self { file: self.file.clone(), root })
    }

    /// Whether the configuration has no keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// A count.
    pub(crate) fn u32(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong_type(key, value, "a 32-bit count")),
        }
    }

    /// A required count.
    pub(crate) fn required_u32(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| Error::invalid(&self.file, format!("has no {key}")))
    }

    /// A list of counts, usually one per layer; empty if missing.
    pub(crate) fn counts(&self, key: &str) -> Result<Vec<i32>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let count = |n: &Value| n.as_u64().and_then(|n| i32::try_from(n).ok());
        match value.as_array().and_then(|list| list.iter().map(count).collect()) {
            Some(list) => Ok(list),
            None => Err(self.wrong_type(key, value, "a list of counts")),
        }
    }

    /// Whether `key` is explicitly `null` in `text_config`, or at the top level if there is no `text_config`.
    pub(crate) fn is_null(&self, key: &str) -> bool {
        let part = self.root.get("text_config").and_then(Value::as_object).unwrap_or(&self.root);
        part.get(key).is_some_and(Value::is_null)
    }

    /// A number.
    pub(crate) fn f32(&self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(n) => Ok(Some(n as f32)),
            None => Err(self.wrong_type(key, value, "a number")),
        }
    }

    /// A boolean.
    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    fn wrong_type(&self, key: &str, value: &Value, expected: &str) -> Error {
        Error::invalid(&self.file, format!("{key} is {value}, not {expected}"))
    }
}

/// A key with its new value as JSON; `None` removes the key.
pub(crate) type ConfigEdit = (&'static str, Option<String>);

/// Sets or removes values at the top level, and in `text_config` if it has the key. Everything else keeps its bytes and
/// order.
pub(crate) fn edit_config(file: &str, bytes: &[u8], edits: &[ConfigEdit]) -> Result<Vec<u8>> {
    let entries: OrderedMap<Box<RawValue>> = json::parse(file, bytes)?;
    let raw =
        |text: &str| RawValue::from_string(text.to_owned()).map_err(|e| Error::invalid(file, e.to_string()));
    let mut out: Vec<(String, Box<RawValue>)> = Vec::with_capacity(entries.0.len() + edits.len());
    for (key, value) in entries.0 {
        let value = match key.as_str() {
            "text_config" => {
                let section: Map<String, Value> = json::parse(file, value.get().as_bytes())?;
                let inner: Vec<_> =
                    edits.iter().filter(|(key, _)| section.contains_key(*key)).cloned().collect();
                let text = if inner.is_empty() {
                    value.get().as_bytes().to_vec()
                } else {
                    edit_config(file, value.get().as_bytes(), &inner)?
                };
                raw(&String::from_utf8_lossy(&text))?
            }
            _ if edits.iter().any(|(edited, _)| *edited == key) => continue,
            _ => value,
        };
        out.push((key, value));
    }
    for (key, value) in edits {
        if let Some(value) = value {
            out.push(((*key).to_owned(), raw(value)?));
        }
    }
    let lines: Vec<String> =
        out.iter().map(|(k, v)| format!("  {}: {}", Value::from(k.as_str()), v.get())).collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_config_keeps_everything_else() {
        let text =
            br#"{"z": 1.50, "tie_word_embeddings": true, "c": {}, "text_config": {"vocab_size": 1, "b": 2}}"#;
        let set = |key, value: &str| (key, Some(value.to_owned()));
        let edits = [set("tie_word_embeddings", "false"), set("vocab_size", "9"), ("c", None)];
        let text = String::from_utf8(edit_config("c", text, &edits).unwrap()).unwrap();
        assert!(text.contains("\"z\": 1.50"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["tie_word_embeddings"], value.get("c")), (&false.into(), None));
        assert_eq!((&value["text_config"]["vocab_size"], &value["text_config"]["b"]), (&9.into(), &2.into()));
    }
}
