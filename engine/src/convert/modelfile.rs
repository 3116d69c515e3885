//! The `Modelfile` from which Ollama creates a model of the GGUF file.
//!
//! Format: <https://docs.ollama.com/modelfile>. Ollama does not render the Jinja template of the file. A model with Gemma's turns
//! gets them as a Go template; a model with another template gets none.

use std::fmt::Write as _;

use crate::gguf::GgufMetadata;
use crate::plan::FileLayout;

/// Gemma's turns. A system message precedes the first user message, as in Gemma's own template.
const TURNS: &str = r#"{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<start_of_turn>user
{{ if and (eq $i 1) $.System }}{{ $.System }}

{{ end }}{{ .Content }}<end_of_turn>
{{ if $last }}<start_of_turn>model
{{ end }}
{{- else if eq .Role "assistant" }}<start_of_turn>model
{{ .Content }}{{ if not $last }}<end_of_turn>
{{ end }}
{{- end }}
{{- end }}"#;

/// Sampling parameters: the key in GGUF, and Ollama's name.
const SAMPLING: [(&str, &str); 4] =
    [("temp", "temperature"), ("top_k", "top_k"), ("top_p", "top_p"), ("min_p", "min_p")];

/// The content of a `Modelfile` besides the file's name.
#[derive(Debug)]
pub(super) struct Modelfile {
    turns: bool,
    /// Names and values.
    parameters: Vec<(&'static str, String)>,
}

impl Modelfile {
    pub(super) fn of(metadata: &GgufMetadata) -> Self {
        let template = metadata.text("tokenizer.chat_template").unwrap_or_default();
        let parameter = |(key, name): (&str, &'static str)| {
            Some((name, metadata.text(&format!("general.sampling.{key}"))?))
        };
        Self {
            turns: template.contains("<start_of_turn>") && template.contains("<end_of_turn>"),
            parameters: SAMPLING.into_iter().filter_map(parameter).collect(),
        }
    }

    /// The file beside the GGUF file of this name: `model.Modelfile` for `model.gguf`.
    pub(super) fn layout(&self, gguf: &str) -> FileLayout {
        let name = format!("{}.Modelfile", gguf.strip_suffix(".gguf").unwrap_or(gguf));
        let text = self.text(gguf, &name);
        FileLayout::small(name, text.into_bytes())
    }

    fn text(&self, gguf: &str, name: &str) -> String {
        let from = format!("./{gguf}");
        let from = if from.contains(char::is_whitespace) { format!("{from:?}") } else { from };
        let mut text = format!("# ollama create <name> -f {name:?}\nFROM {from}\n");
        if self.turns {
            write!(text, "TEMPLATE \"\"\"{TURNS}\"\"\"\nPARAMETER stop \"<end_of_turn>\"\n").ok();
        }
        for (name, value) in &self.parameters {
            writeln!(text, "PARAMETER {name} {value}").ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::MetadataValue;

    fn text(gguf: &str, metadata: &GgufMetadata) -> String {
        String::from_utf8(Modelfile::of(metadata).layout(gguf).header).unwrap()
    }

    #[test]
    fn turns_are_given_only_to_a_model_that_has_them() {
        let mut metadata = GgufMetadata::new("gemma3");
        assert_eq!(text("m.gguf", &metadata), "# ollama create <name> -f \"m.Modelfile\"\nFROM ./m.gguf\n");
        metadata.set("tokenizer.chat_template", "{{ '<|im_start|>' }}");
        assert!(!text("m.gguf", &metadata).contains("TEMPLATE"));
        metadata.set("tokenizer.chat_template", "{{ '<start_of_turn>' + role }}<end_of_turn>");
        assert!(text("m.gguf", &metadata).ends_with("{{- end }}\"\"\"\nPARAMETER stop \"<end_of_turn>\"\n"));
    }

    #[test]
    fn what_the_makers_recommend_is_set() {
        let mut metadata = GgufMetadata::new("gemma3");
        metadata.set("general.sampling.top_p", 0.95_f32);
        metadata.set("general.sampling.top_k", MetadataValue::I32(64));
        let text = text("my model.gguf", &metadata);
        assert!(
            text.ends_with("FROM \"./my model.gguf\"\nPARAMETER top_k 64\nPARAMETER top_p 0.95\n"),
            "{text}"
        );
    }
}
