//! The small files of a model beside `config.json` and the weights.

use super::tokenizer_origins::TEMPLATE_FOLDER;

/// The files of a tokenizer and its default chat template, which a model takes from an adapter that has them.
const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// The other ones, which are the base's.
const OTHER_FILES: [&str; 7] = [
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "generation_config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
];

/// The small files of a model besides `config.json`, further chat templates and the files of an embedding model's modules.
/// Other files are not copied.
pub fn companion_files() -> impl Iterator<Item = &'static str> {
    TOKENIZER_FILES.into_iter().chain(OTHER_FILES)
}

/// Whether a file of this name belongs to a tokenizer or its chat templates, which a model takes from an adapter that has them.
#[must_use]
pub fn is_tokenizer_file(name: &str) -> bool {
    let is_template = |path: &str| path.starts_with('/') && path.ends_with(".jinja");
    TOKENIZER_FILES.contains(&name) || name.strip_prefix(TEMPLATE_FOLDER).is_some_and(is_template)
}

/// Whether a file of this name belongs to a model's tokenizer, chat templates, processors or settings. `config.json` and
/// weights do not count.
#[must_use]
pub fn is_companion(name: &str) -> bool {
    is_tokenizer_file(name) || OTHER_FILES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_companion_is_known_by_its_name() {
        for name in ["tokenizer.json", "modules.json", "additional_chat_templates/tool.jinja"] {
            assert!(is_companion(name), "{name}");
        }
        for name in [
            "config.json",
            "model.safetensors",
            "checkpoint-1/tokenizer.json",
            "additional_chat_templates/a.py",
        ] {
            assert!(!is_companion(name), "{name}");
        }
    }
}
