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

/// The service's section of a card. The rest of a card belongs to the repository's owner.
const BEGIN: &str = "<!-- export-service -->";
const END: &str = "<!-- /export-service -->";

/// The Hub's name of the task of embedding models.
const EMBEDDING: &str = "sentence-similarity";

impl ModelCard<'_> {
    /// `README.md`: YAML front matter for the Hub, then Markdown. Text of the owner in `existing` is kept, and so are the
    /// entries of files that `stays` there.
    pub(crate) fn render(&self, existing: Option<&str>, stays: impl Fn(&str) -> bool) -> String {
        let section = self.section(&kept_rows(existing.unwrap_or_default(), |name| {
            stays(name) && self.files.iter().all(|file| file.name != name)
        }));
        match existing.filter(|text| !is_own(text)) {
            Some(text) => with_section(text, &section),
            None => {
                let (_, title) = self.repo.parts();
                format!("{}\n# {title}\n\n{section}\n", self.front_matter())
            }
        }
    }

    fn front_matter(&self) -> String {
        let task = self.task();
        let (library, relation) = match self.kind {
            ArtifactKind::Adapter => ("peft", "adapter"),
            ArtifactKind::Merged if task == EMBEDDING => ("sentence-transformers", "finetune"),
            ArtifactKind::Merged => ("transformers", "finetune"),
            ArtifactKind::Gguf => ("gguf", "quantized"),
        };
        let mut text = format!("---\nlibrary_name: {library}\npipeline_tag: {task}\n");
        if let Some(base) = self.base_model {
            let license = license(base);
            write!(text, "base_model: {base}\nbase_model_relation: {relation}\n{license}").ok();
        }
        text.push_str("---\n");
        text
    }

    /// The Hub's name of what the model does.
    fn task(&self) -> &'static str {
        let has = |is: fn(&str) -> bool| self.files.iter().any(|file| is(&file.name));
        let is_embedding_base = self.base_model.is_some_and(|base| base.parts().1.contains("embeddinggemma"));
        if is_embedding_base || has(|name| name == "modules.json") {
            EMBEDDING
        } else if has(|name| {
            name == "preprocessor_config.json"
                || name == "processor_config.json"
                || name.starts_with("mmproj-")
        }) {
            "image-text-to-text"
        } else {
            "text-generation"
        }
    }

    /// What the files are, and their hashes. `rows` are those of files that are there already.
    fn section(&self, rows: &str) -> String {
        let what = match self.kind {
            ArtifactKind::Adapter => "A LoRA adapter",
            ArtifactKind::Merged => "A fine-tuned model, adapter and base merged",
            ArtifactKind::Gguf => "A GGUF file for llama.cpp and Ollama",
        };
        let mut text = format!("{BEGIN}\n{what}");
        match self.base_model {
            Some(base) => {
                write!(text, " of [{base}](https://huggingface.co/{base}), whose license applies.\n\n").ok()
            }
            None => write!(text, ".\n\n").ok(),
        };
        write!(text, "{}\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n", self.description)
            .ok();
        text.push_str(rows);
        for file in self.files {
            writeln!(text, "| `{}` | {} | `{}` |", file.name, file.size, file.sha256).ok();
        }
        text.push_str(END);
        text
    }
}

/// The text before, in and after the service's section.
fn split_section(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (section, after) = rest.split_once(END)?;
    Some((before, section, after))
}

/// Whether nothing in a card is the owner's: front matter, title and section only.
fn is_own(text: &str) -> bool {
    let Some((before, _, after)) = split_section(text) else { return text.trim().is_empty() };
    let parts = before.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    // ours always names the library first
    if parts.is_some_and(|(front_matter, _)| !front_matter.starts_with("library_name: ")) {
        return false;
    }
    let body = parts.map_or(before, |(_, body)| body).trim();
    after.trim().is_empty() && body.lines().count() <= 1 && (body.is_empty() || body.starts_with("# "))
}

fn with_section(text: &str, section: &str) -> String {
    match split_section(text) {
        Some((before, _, after)) => format!("{before}{section}{after}"),
        None => format!("{}\n\n{section}\n", text.trim_end()),
    }
}

/// The rows of the service's table whose files `stays`.
fn kept_rows(text: &str, stays: impl Fn(&str) -> bool) -> String {
    let section = split_section(text).map(|(_, section, _)| section).unwrap_or_default();
    let name = |row: &str| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let kept = section.lines().filter(|row| name(row).is_some_and(|name| stays(&name)));
    kept.map(|row| format!("{row}\n")).collect()
}

/// The license of the Gemma family of `base`, as front matter; empty if the name has no known family.
fn license(base: &HubRepo) -> &'static str {
    let name = base.parts().1.to_ascii_lowercase();
    let has = |family: &str| {
        let rest = name.split_once(family).map(|(_, rest)| rest);
        // "gemma-4b" is not of Gemma 4
        rest.is_some_and(|rest| {
            !family.ends_with(|c: char| c.is_ascii_digit())
                || rest.is_empty()
                || rest.starts_with(['-', '.', '_'])
        })
    };
    if has("medgemma") {
        "license: other\nlicense_name: health-ai-developer-foundations\n\
         license_link: https://developers.google.com/health-ai-developer-foundations/terms\n"
    } else if has("gemma-4") || has("embeddinggemma-2") {
        "license: apache-2.0\n"
    } else if has("gemma") {
        "license: gemma\n"
    } else {
        ""
    }
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
            card.render(None, |_| true),
            "---\nlibrary_name: gguf\npipeline_tag: text-generation\nbase_model: google/gemma-3-1b-it\n\
             base_model_relation: quantized\nlicense: gemma\n---\n\n# my-gemma\n\n<!-- export-service -->\nA GGUF file for llama.cpp and Ollama of \
             [google/gemma-3-1b-it](https://huggingface.co/google/gemma-3-1b-it), whose license applies.\n\n\
             Quantized to q8_0.\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n\
             | `model.gguf` | 5 | `abc` |\n<!-- /export-service -->\n"
        );
    }

    #[test]
    fn text_of_the_owner_and_entries_of_files_that_stay_are_kept() {
        let repo = "ada/my-gemma".parse().unwrap();
        let file = |name: &str| ManifestFile { name: name.to_owned(), size: 5, sha256: "abc".to_owned() };
        let (first, second) = ([file("model.gguf")], [file("model-q4_k_m.gguf")]);
        let card = |files| ModelCard {
            repo: &repo,
            kind: ArtifactKind::Gguf,
            base_model: None,
            description: "Quantized.",
            files,
        };
        let one = card(&first).render(None, |_| true);
        let both = card(&second).render(Some(&one), |_| true);
        assert!(both.contains("`model.gguf`") && both.contains("`model-q4_k_m.gguf`"), "{both}");
        assert_eq!(both.matches(BEGIN).count(), 1);
        assert!(!card(&second).render(Some(&one), |_| false).contains("`model.gguf`"));

        let form = "---\nlicense: mit\n---\n";
        let once = card(&first).render(Some(form), |_| true);
        let twice = card(&second).render(Some(&once), |_| true);
        assert!(twice.starts_with("---\nlicense: mit\n---"), "{twice}");

        let owners = "---\nlicense: mit\n---\n\n# Mine\n\nHow I trained it.\n";
        let kept = card(&first).render(Some(owners), |_| true);
        assert!(kept.starts_with(owners.trim_end()) && kept.contains("`model.gguf`"), "{kept}");
        let after = format!("{kept}\nMore of mine.\n");
        let again = card(&second).render(Some(&after), |_| true);
        assert!(again.starts_with(owners.trim_end()) && again.ends_with("More of mine.\n"), "{again}");
        assert_eq!(again.matches(BEGIN).count(), 1);
    }

    #[test]
    fn each_family_has_its_license() {
        for (base, expected) in [
            ("google/gemma-4-E2B-it", "license: apache-2.0\n"),
            ("unsloth/gemma-3n-E2B", "license: gemma\n"),
            ("google/gemma-2b", "license: gemma\n"),
            ("google/embeddinggemma-300m", "license: gemma\n"),
            ("ada/embeddinggemma-270m", "license: gemma\n"),
            ("ada/gemma-4bit", "license: gemma\n"),
            ("google/embeddinggemma-2", "license: apache-2.0\n"),
            ("ada/micro", ""),
        ] {
            assert_eq!(license(&base.parse().unwrap()), expected, "{base}");
        }
        assert!(license(&"google/medgemma-4b-it".parse().unwrap()).starts_with("license: other\n"));
    }

    #[test]
    fn the_task_is_that_of_the_files() {
        let repo = "ada/my-gemma".parse().unwrap();
        let front_matter = |kind, name: &str, base: &str| {
            let files = [ManifestFile { name: name.to_owned(), size: 5, sha256: "abc".to_owned() }];
            let base = base.parse().unwrap();
            ModelCard { repo: &repo, kind, base_model: Some(&base), description: "", files: &files }
                .front_matter()
        };
        let (text, image) = ("pipeline_tag: text-generation\n", "pipeline_tag: image-text-to-text\n");
        let base = "google/gemma-3-4b-it";
        assert!(front_matter(ArtifactKind::Merged, "config.json", base).contains(text));
        assert!(front_matter(ArtifactKind::Merged, "preprocessor_config.json", base).contains(image));
        assert!(front_matter(ArtifactKind::Gguf, "mmproj-model.gguf", base).contains(image));
        let embedding = front_matter(ArtifactKind::Merged, "modules.json", base);
        assert!(
            embedding.contains("library_name: sentence-transformers\npipeline_tag: sentence-similarity\n")
        );
        let adapter =
            front_matter(ArtifactKind::Adapter, "adapter_config.json", "google/embeddinggemma-300m");
        assert!(adapter.contains("library_name: peft\npipeline_tag: sentence-similarity\n"), "{adapter}");
    }
}
