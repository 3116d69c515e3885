//! `config.json`: what the model is, with the class defaults for what it leaves out supplied by the reader's caller.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

/// A model's configuration. Look-ups see the language model's part first when there is one (`text_config`).
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

    /// Where it was read from, for error messages.
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

    /// The value of `key` at the top, whatever the language model's part says.
    pub(crate) fn top(&self, key: &str) -> Option<&Value> {
        self.root.get(key).filter(|v| !v.is_null())
    }

    /// The value of `key` in the language model's part, else at the top. `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let text = self.root.get("text_config").and_then(Value::as_object).and_then(|t| t.get(key));
        text.filter(|v| !v.is_null()).or_else(|| self.top(key))
    }

    /// A part of the configuration that is one in itself.
    pub(crate) fn part(&self, key: &str) -> Option<Self> {
        let root = self.root.get(key)?.as_object()?.clone();
        Some(Self { file: self.file.clone(), root })
    }

    /// Whether it says nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// A count.
    pub(crate) fn u32(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong(key, value, "a 32-bit count")),
        }
    }

    /// A count that the model cannot do without.
    pub(crate) fn need_u32(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| Error::invalid(&self.file, format!("has no {key}")))
    }

    /// A count for each layer.
    pub(crate) fn list(&self, key: &str) -> Result<Vec<i32>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let count = |n: &Value| n.as_u64().and_then(|n| i32::try_from(n).ok());
        match value.as_array().and_then(|list| list.iter().map(count).collect()) {
            Some(list) => Ok(list),
            None => Err(self.wrong(key, value, "a list of counts")),
        }
    }

    /// Whether the language model's part, or else the whole, says null for this.
    pub(crate) fn is_null(&self, key: &str) -> bool {
        let part = self.root.get("text_config").and_then(Value::as_object).unwrap_or(&self.root);
        part.get(key).is_some_and(Value::is_null)
    }

    /// A number.
    pub(crate) fn f32(&self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(n) => Ok(Some(n as f32)),
            None => Err(self.wrong(key, value, "a number")),
        }
    }

    /// A switch.
    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> Error {
        Error::invalid(&self.file, format!("{key} is {value}, not {wanted}"))
    }
}

/// What becomes of a key: its new value as JSON, or nothing.
pub(crate) type ConfigEdit = (&'static str, Option<String>);

/// The text of a configuration with some values set or removed: at the top, and in the language model's part where
/// that has the key. Everything else stays as it was written, in its order.
pub(crate) fn edited(file: &str, bytes: &[u8], changes: &[ConfigEdit]) -> Result<Vec<u8>> {
    let entries: OrderedMap<Box<RawValue>> = json::parse(file, bytes)?;
    let raw =
        |text: &str| RawValue::from_string(text.to_owned()).map_err(|e| Error::invalid(file, e.to_string()));
    let mut out: Vec<(String, Box<RawValue>)> = Vec::with_capacity(entries.0.len() + changes.len());
    for (key, value) in entries.0 {
        let value = match key.as_str() {
            "text_config" => {
                let held: Map<String, Value> = json::parse(file, value.get().as_bytes())?;
                let inner: Vec<_> =
                    changes.iter().filter(|(key, _)| held.contains_key(*key)).cloned().collect();
                let text = if inner.is_empty() {
                    value.get().as_bytes().to_vec()
                } else {
                    edited(file, value.get().as_bytes(), &inner)?
                };
                raw(&String::from_utf8_lossy(&text))?
            }
            _ if changes.iter().any(|(changed, _)| *changed == key) => continue,
            _ => value,
        };
        out.push((key, value));
    }
    for (key, value) in changes {
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
    fn an_edited_configuration_keeps_everything_else() {
        let text =
            br#"{"z": 1.50, "tie_word_embeddings": true, "c": {}, "text_config": {"vocab_size": 1, "b": 2}}"#;
        let set = |key, value: &str| (key, Some(value.to_owned()));
        let changes = [set("tie_word_embeddings", "false"), set("vocab_size", "9"), ("c", None)];
        let text = String::from_utf8(edited("c", text, &changes).unwrap()).unwrap();
        assert!(text.contains("\"z\": 1.50"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["tie_word_embeddings"], value.get("c")), (&false.into(), None));
        assert_eq!((&value["text_config"]["vocab_size"], &value["text_config"]["b"]), (&9.into(), &2.into()));
    }
}
