//! The chat template, and further ones by name (gguf-py's `SpecialVocab`).
//!
//! The order of the files is that of transformers: `chat_template.jinja`, `tokenizer_config.json`, then the files of
//! processors, `chat_template.json` and `processor_config.json`. The converter prefers `tokenizer_config.json`.

use serde_json::Value;

use super::tokenizer_files::TokenizerFiles;
use crate::gguf::{GgufMetadata, MetadataValue};

/// The name of the template in use.
const DEFAULT: &str = "default";

/// Templates by name.
#[derive(Debug)]
pub(super) struct ChatTemplate(Vec<(String, String)>);

impl ChatTemplate {
    pub(super) fn of(files: &TokenizerFiles<'_>) -> Option<Self> {
        if let Some(text) = &files.template_jinja {
            let default = (DEFAULT.to_owned(), text.clone());
            return Some(Self([default].into_iter().chain(files.additional_templates.clone()).collect()));
        }
        let in_config = files.config.as_ref().and_then(|config| config.fields.get("chat_template"));
        match in_config.filter(|value| !value.is_null()).or(files.processor_template.as_ref())? {
            Value::String(text) => Some(Self(vec![(DEFAULT.to_owned(), text.clone())])),
            Value::Array(entries) => Some(Self(entries.iter().filter_map(named).collect())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(Self(Vec::new())),
        }
    }

    /// The template in use.
    pub(super) fn default_template(&self) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == DEFAULT).map(|(_, text)| text.as_str())
    }

    /// All names; none for a value that is no template.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[cfg(test)]
    pub(super) fn for_test(text: &str) -> Self {
        Self(vec![(DEFAULT.to_owned(), text.to_owned())])
    }

    /// Sets each template by its name, the default one without a name.
    pub(super) fn set_metadata(self, out: &mut GgufMetadata) {
        let mut names = Vec::new();
        let mut default = None;
        for (name, template) in self.0 {
            let name: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            if name == DEFAULT {
                default = Some(template);
            } else if !name.is_empty() {
                out.set(&format!("tokenizer.chat_template.{name}"), template);
                names.push(name);
            }
        }
        if !names.is_empty() {
            out.set("tokenizer.chat_templates", MetadataValue::Strings(names));
        }
        if let Some(default) = default {
            out.set("tokenizer.chat_template", default);
        }
    }
}

fn named(entry: &Value) -> Option<(String, String)> {
    let text = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
    Some((text("name")?, text("template")?))
}
