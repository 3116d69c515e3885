//! The model card: what the files are, where they come from, and their hashes.

use std::fmt::Write as _;

use shared::domain::{ArtifactKind, HubRepo};

use crate::manifest::ManifestFile;

/// What a card says.
pub(crate) struct Card<'a> {
    pub(crate) repo: &'a HubRepo,
    pub(crate) kind: ArtifactKind,
    /// The base model, if there is one.
    pub(crate) base: Option<&'a HubRepo>,
    /// How it was made, in a sentence.
    pub(crate) how: &'a str,
    /// Every file beside the card.
    pub(crate) files: &'a [ManifestFile],
}

impl Card<'_> {
    /// `README.md`: YAML front matter as the Hub reads it, then text for people.
    pub(crate) fn render(&self) -> String {
        let (library, relation, what) = match self.kind {
            ArtifactKind::Adapter => ("peft", "adapter", "A LoRA adapter"),
            ArtifactKind::Merged => {
                ("transformers", "finetune", "A fine-tuned model, adapter and base merged")
            }
            ArtifactKind::Gguf => ("gguf", "quantized", "A GGUF file for llama.cpp and Ollama"),
        };
        let mut text = format!("---\nlibrary_name: {library}\npipeline_tag: text-generation\n");
        if let Some(base) = self.base {
            let licence = licence(base);
            write!(text, "base_model: {base}\nbase_model_relation: {relation}\nlicense: {licence}\n").ok();
        }
        let (_, title) = self.repo.parts();
        write!(text, "---\n\n# {title}\n\n{what}").ok();
        match self.base {
            Some(base) => {
                write!(text, " of [{base}](https://huggingface.co/{base}), whose licence applies.\n\n").ok()
            }
            None => write!(text, ".\n\n").ok(),
        };
        write!(text, "{}\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n", self.how).ok();
        for file in self.files {
            writeln!(text, "| `{}` | {} | `{}` |", file.name, file.size, file.sha256).ok();
        }
        text
    }
}

/// The licence of that Gemma family, as the Hub names it: Apache-2.0 from Gemma 4 on, Gemma's own terms before.
fn licence(base: &HubRepo) -> &'static str {
    let (_, name) = base.parts();
    if name.to_ascii_lowercase().starts_with("gemma-4") { "apache-2.0" } else { "gemma" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_base_licence_and_hashes() {
        let repo = "ada/my-gemma".parse().unwrap();
        let base = "google/gemma-3-1b-it".parse().unwrap();
        let files = [ManifestFile { name: "model.gguf".into(), size: 5, sha256: "abc".into() }];
        let card = Card {
            repo: &repo,
            kind: ArtifactKind::Gguf,
            base: Some(&base),
            how: "Quantised to q8_0.",
            files: &files,
        };
        assert_eq!(
            card.render(),
            "---\nlibrary_name: gguf\npipeline_tag: text-generation\nbase_model: google/gemma-3-1b-it\n\
             base_model_relation: quantized\nlicense: gemma\n---\n\n# my-gemma\n\nA GGUF file for llama.cpp and Ollama of \
             [google/gemma-3-1b-it](https://huggingface.co/google/gemma-3-1b-it), whose licence applies.\n\n\
             Quantised to q8_0.\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n\
             | `model.gguf` | 5 | `abc` |\n"
        );
    }

    #[test]
    fn gemma_4_has_another_licence_than_those_before() {
        assert_eq!(licence(&"google/gemma-4-E2B-it".parse().unwrap()), "apache-2.0");
        assert_eq!(licence(&"unsloth/gemma-3n-E2B".parse().unwrap()), "gemma");
        assert_eq!(licence(&"google/gemma-2b".parse().unwrap()), "gemma");
    }
}
