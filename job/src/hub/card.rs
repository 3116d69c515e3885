//! The model card: what the files are, the base model, and the files' hashes.

use std::fmt::Write as _;

use shared::domain::{ArtifactKind, HubRepo};

use crate::manifest::ManifestFile;

/// The content of a model card.
pub(crate) struct ModelCard<'a> {
    pub(crate) repo: &'a HubRepo,
    pub(crate) kind: ArtifactKind,
    /// The base model, if it is known.
    pub(crate) base_model: Option<&'a HubRepo>,
    /// How the model was made, in a sentence.
    pub(crate) description: &'a str,
    /// Every file besides the card.
    pub(crate) files: &'a [ManifestFile],
}

impl ModelCard<'_> {
    /// `README.md`: YAML front matter for the Hub, then Markdown.
    pub(crate) fn render(&self) -> String {
        let (library, relation, what) = match self.kind {
            ArtifactKind::Adapter => ("peft", "adapter", "A LoRA adapter"),
            ArtifactKind::Merged => {
                ("transformers", "finetune", "A fine-tuned model, adapter and base merged")
            }
            ArtifactKind::Gguf => ("gguf", "quantized", "A GGUF file for llama.cpp and Ollama"),
        };
        let mut text = format!("---\nlibrary_name: {library}\npipeline_tag: text-generation\n");
        if let Some(base) = self.base_model {
            let license = license(base);
            write!(text, "base_model: {base}\nbase_model_relation: {relation}\nlicense: {license}\n").ok();
        }
        let (_, title) = self.repo.parts();
        write!(text, "---\n\n# {title}\n\n{what}").ok();
        match self.base_model {
            Some(base) => {
                write!(text, " of [{base}](https://huggingface.co/{base}), whose license applies.\n\n").ok()
            }
            None => write!(text, ".\n\n").ok(),
        };
        write!(text, "{}\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n", self.description)
            .ok();
        for file in self.files {
            writeln!(text, "| `{}` | {} | `{}` |", file.name, file.size, file.sha256).ok();
        }
        text
    }
}

/// The license of the Gemma family of `base`, as the Hub names it: Apache-2.0 from Gemma 4 on, `gemma` before.
fn license(base: &HubRepo) -> &'static str {
    let (_, name) = base.parts();
    if name.to_ascii_lowercase().starts_with("gemma-4") { "apache-2.0" } else { "gemma" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_base_license_and_hashes() {
        let repo = "ada/my-gemma".parse().unwrap();
        let base = "google/gemma-3-1b-it".parse().unwrap();
        let files = [ManifestFile { name: "model.gguf".into(), size: 5, sha256: "abc".into() }];
        let card = ModelCard {
            repo: &repo,
            kind: ArtifactKind::Gguf,
            base_model: Some(&base),
            description: "Quantized to q8_0.",
            files: &files,
        };
        assert_eq!(
            card.render(),
            "---\nlibrary_name: gguf\npipeline_tag: text-generation\nbase_model: google/gemma-3-1b-it\n\
             base_model_relation: quantized\nlicense: gemma\n---\n\n# my-gemma\n\nA GGUF file for llama.cpp and Ollama of \
             [google/gemma-3-1b-it](https://huggingface.co/google/gemma-3-1b-it), whose license applies.\n\n\
             Quantized to q8_0.\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n\
             | `model.gguf` | 5 | `abc` |\n"
        );
    }

    #[test]
    fn gemma_4_has_another_license_than_earlier_families() {
        assert_eq!(license(&"google/gemma-4-E2B-it".parse().unwrap()), "apache-2.0");
        assert_eq!(license(&"unsloth/gemma-3n-E2B".parse().unwrap()), "gemma");
        assert_eq!(license(&"google/gemma-2b".parse().unwrap()), "gemma");
    }
}
