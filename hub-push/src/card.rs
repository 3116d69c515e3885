//! The model card: what the files are, the base model, and the files' hashes.

use std::fmt::Write as _;

use crate::front_matter::{self, FrontMatter};
use crate::request::{ModelCard, PushKind, PushTarget, is_mmproj, parts};

/// The name of the model card.
pub const CARD_FILE: &str = "README.md";

/// The section of a card that a push writes. The rest of a card belongs to the repository's owner.
const BEGIN: &str = "<!-- export-service -->";
const END: &str = "<!-- /export-service -->";

/// The Hub's name of the task of embedding models.
const EMBEDDING: &str = "sentence-similarity";

/// `README.md`: YAML front matter for the Hub, then Markdown. Text of the owner in `existing` is kept, and so are the entries of
/// files that `stays` there.
pub(crate) fn render(
    target: &PushTarget<'_>,
    card: &ModelCard<'_>,
    existing: &str,
    stays: impl Fn(&str) -> bool,
) -> String {
    let content = CardContent { target, card };
    let section = content.section(&kept_rows(existing, |name| stays(name) && !target.has(name)));
    if content.is_own(existing) {
        return format!("{}\n# {}\n\n{section}\n", content.front_matter(), target.title());
    }
    front_matter::add_missing(&with_section(existing, &section), &content.front_matter())
}

/// What a card is made of.
struct CardContent<'a> {
    target: &'a PushTarget<'a>,
    card: &'a ModelCard<'a>,
}

impl CardContent<'_> {
    fn front_matter(&self) -> FrontMatter {
        let (task, kind) = (self.task(), self.target.kind);
        let (library, relation) = match kind {
            PushKind::Adapter => ("peft", "adapter"),
            PushKind::Merged if task == EMBEDDING => ("sentence-transformers", "finetune"),
            PushKind::Merged => ("transformers", "finetune"),
            PushKind::LoraGguf => ("gguf", "adapter"),
            PushKind::Gguf => ("gguf", "quantized"),
        };
        let mut fields = FrontMatter::default();
        fields.add("library_name", library);
        fields.add("pipeline_tag", task);
        if let Some(base) = self.card.base_model {
            fields.add("base_model", &format!("{base}\nbase_model_relation: {relation}"));
            if let Some(license) = license(base) {
                fields.add("license", license);
            }
        }
        fields.add("tags", if kind.is_adapter() { "[gemma, lora]" } else { "[gemma]" });
        fields
    }

    /// The Hub's name of what the model does. An adapter is used with the processors of its base model.
    fn task(&self) -> &'static str {
        let own = || self.target.files.iter().map(|file| file.name.as_str());
        let base = || self.card.base_files.iter().copied();
        let is_processor = |name: &str| matches!(name, "preprocessor_config.json" | "processor_config.json");
        let is_embedding_base =
            self.card.base_model.is_some_and(|base| parts(base).1.contains("embeddinggemma"));
        if is_embedding_base || own().chain(base()).any(|name| name == "modules.json") {
            EMBEDDING
        } else if own().any(|name| is_processor(name) || is_mmproj(name))
            || (self.target.kind.is_adapter() && base().any(is_processor))
        {
            "image-text-to-text"
        } else {
            "text-generation"
        }
    }

    /// What the files are, and their hashes. `rows` are those of files that are there already.
    fn section(&self, rows: &str) -> String {
        let what = match self.target.kind {
            PushKind::Adapter => "A LoRA adapter",
            PushKind::Merged => "A fine-tuned model, adapter and base merged",
            PushKind::LoraGguf => "A LoRA adapter as a GGUF file for llama.cpp",
            PushKind::Gguf => "A GGUF file for llama.cpp and Ollama",
        };
        let mut text = format!("{BEGIN}\n{what}");
        match self.card.base_model {
            Some(base) => {
                write!(text, " of [{base}](https://huggingface.co/{base}), whose license applies.\n\n").ok()
            }
            None => write!(text, ".\n\n").ok(),
        };
        let description = self.card.description;
        write!(text, "{description}\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n").ok();
        text.push_str(rows);
        for file in self.target.files {
            writeln!(text, "| `{}` | {} | `{}` |", file.name, file.size, file.sha256).ok();
        }
        text.push_str(END);
        text
    }

    /// Whether nothing in a card is the owner's: front matter, title and section only.
    fn is_own(&self, text: &str) -> bool {
        let Some((before, _, after)) = split_section(text) else { return text.trim().is_empty() };
        let fields = before.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
        // ours always names the library first
        let Some((front_matter, body)) = fields else { return false };
        let body = body.trim();
        let is_ours = body.is_empty() || body == format!("# {}", self.target.title());
        front_matter.starts_with("library_name: ") && is_ours && after.trim().is_empty()
    }
}

/// The text before, in and after the section.
fn split_section(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (section, after) = rest.split_once(END)?;
    Some((before, section, after))
}

fn with_section(text: &str, section: &str) -> String {
    match split_section(text) {
        Some((before, _, after)) => format!("{before}{section}{after}"),
        None => format!("{}\n\n{section}\n", text.trim_end()),
    }
}

/// The files that the section of a card lists: those of earlier exports.
pub(crate) fn listed_files(text: &str) -> Vec<String> {
    rows(text).map(|(name, _)| name.to_owned()).collect()
}

/// The rows of a section's table whose files `stays`.
fn kept_rows(text: &str, stays: impl Fn(&str) -> bool) -> String {
    rows(text).filter(|(name, _)| stays(name)).map(|(_, row)| format!("{row}\n")).collect()
}

/// The rows of a section's table, each with the name of its file.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let section = split_section(text).map(|(_, section, _)| section).unwrap_or_default();
    section.lines().filter_map(|row| Some((row.strip_prefix("| `")?.split_once('`')?.0, row)))
}

/// The license of the Gemma family of `base`, with its further fields; `None` if the name has no known family.
fn license(base: &str) -> Option<&'static str> {
    let name = parts(base).1.to_ascii_lowercase();
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
        Some(
            "other\nlicense_name: health-ai-developer-foundations\n\
             license_link: https://developers.google.com/health-ai-developer-foundations/terms",
        )
    } else if has("gemma-4") || has("embeddinggemma-2") {
        Some("apache-2.0")
    } else {
        has("gemma").then_some("gemma")
    }
}

#[cfg(test)]
mod tests {
    use engine::WrittenFile;

    use super::*;

    fn file(name: &str) -> WrittenFile {
        WrittenFile { name: name.to_owned(), size: 5, sha256: "abc".to_owned() }
    }

    fn target<'a>(repo: &'a str, kind: PushKind, files: &'a [WrittenFile]) -> PushTarget<'a> {
        PushTarget { repo, private: true, kind, files }
    }

    #[test]
    fn a_card_names_base_license_and_hashes() {
        let files = [file("model.gguf")];
        let description = "Quantized to q8_0.";
        let card = ModelCard { base_model: Some("google/gemma-3-1b-it"), base_files: &[], description };
        assert_eq!(
            render(&target("ada/my-gemma", PushKind::Gguf, &files), &card, "", |_| true),
            "---\nlibrary_name: gguf\npipeline_tag: text-generation\nbase_model: google/gemma-3-1b-it\n\
             base_model_relation: quantized\nlicense: gemma\ntags: [gemma]\n---\n\n# my-gemma\n\n<!-- export-service -->\nA GGUF file for llama.cpp and Ollama of \
             [google/gemma-3-1b-it](https://huggingface.co/google/gemma-3-1b-it), whose license applies.\n\n\
             Quantized to q8_0.\n\n## Files\n\n| file | bytes | SHA-256 |\n| --- | --- | --- |\n\
             | `model.gguf` | 5 | `abc` |\n<!-- /export-service -->\n"
        );
    }

    #[test]
    fn an_adapter_as_gguf_is_an_adapter_of_its_base() {
        let files = [file("lora-f32.gguf")];
        let description = "For `--lora`.";
        let card = ModelCard { base_model: Some("google/gemma-3-1b-it"), base_files: &[], description };
        let text = render(&target("ada/my-lora", PushKind::LoraGguf, &files), &card, "", |_| true);
        assert!(
            text.contains("library_name: gguf\n") && text.contains("base_model_relation: adapter\n"),
            "{text}"
        );
        assert!(text.contains("tags: [gemma, lora]\n"), "{text}");
        assert!(
            text.contains("A LoRA adapter as a GGUF file for llama.cpp of [google/gemma-3-1b-it]"),
            "{text}"
        );
    }

    #[test]
    fn text_of_the_owner_and_entries_of_files_that_stay_are_kept() {
        let (first, second) = ([file("model.gguf")], [file("model-q4_k_m.gguf")]);
        let card = ModelCard { base_model: None, base_files: &[], description: "Quantized." };
        let render = |files: &[WrittenFile], existing: &str, stays: bool| {
            render(&target("ada/my-gemma", PushKind::Gguf, files), &card, existing, |_| stays)
        };
        let one = render(&first, "", true);
        let both = render(&second, &one, true);
        assert!(both.contains("`model.gguf`") && both.contains("`model-q4_k_m.gguf`"), "{both}");
        assert_eq!(both.matches(BEGIN).count(), 1);
        assert!(!render(&second, &one, false).contains("`model.gguf`"));

        let form = "---\nlicense: mit\n---\n";
        let once = render(&first, form, true);
        let twice = render(&second, &once, true);
        assert!(twice.starts_with("---\nlicense: mit\nlibrary_name: gguf\n"), "{twice}");
        assert_eq!(twice.matches("license").count(), 1, "{twice}");

        let (fields, body) = ("---\nlicense: mit\n", "---\n\n# Mine\n\nHow I trained it.\n");
        let kept = render(&first, &format!("{fields}{body}"), true);
        let is_kept = |text: &str| text.starts_with(fields) && text.contains(body.trim_end());
        assert!(is_kept(&kept) && kept.contains("`model.gguf`"), "{kept}");
        let after = format!("{kept}\nMore of mine.\n");
        let again = render(&second, &after, true);
        assert!(is_kept(&again) && again.ends_with("More of mine.\n"), "{again}");
        assert_eq!(again.matches(BEGIN).count(), 1);

        let title = render(&first, "# Mine\n", true);
        assert!(render(&second, &title, true).contains("\n# Mine\n"), "{title}");
    }

    #[test]
    fn each_family_has_its_license() {
        for (base, expected) in [
            ("google/gemma-4-E2B-it", Some("apache-2.0")),
            ("unsloth/gemma-3n-E2B", Some("gemma")),
            ("google/gemma-2b", Some("gemma")),
            ("google/embeddinggemma-300m", Some("gemma")),
            ("ada/embeddinggemma-270m", Some("gemma")),
            ("ada/gemma-4bit", Some("gemma")),
            ("google/embeddinggemma-2", Some("apache-2.0")),
            ("ada/micro", None),
        ] {
            assert_eq!(license(base), expected, "{base}");
        }
        assert!(license("google/medgemma-4b-it").unwrap().starts_with("other\n"));
    }

    #[test]
    fn the_task_is_that_of_the_files() {
        let front_matter = |kind, name: &str, base: &str, base_file: &str| {
            let (files, base_files) = ([file(name)], [base_file]);
            let card = ModelCard { base_model: Some(base), base_files: &base_files, description: "" };
            let target = target("ada/my-gemma", kind, &files);
            CardContent { target: &target, card: &card }.front_matter().to_string()
        };
        use PushKind::{Adapter, Gguf, Merged};
        let (text, image) = ("pipeline_tag: text-generation\n", "pipeline_tag: image-text-to-text\n");
        let embedding = "pipeline_tag: sentence-similarity\n";
        let base = "google/gemma-3-4b-it";
        for (kind, name, base_file, expected) in [
            (Merged, "config.json", "config.json", text),
            (Merged, "preprocessor_config.json", "config.json", image),
            (Merged, "modules.json", "config.json", embedding),
            (Gguf, "mmproj-model.gguf", "config.json", image),
            (Gguf, "model.gguf", "processor_config.json", text),
            (Gguf, "model.gguf", "modules.json", embedding),
            (Adapter, "adapter_config.json", "config.json", text),
            (Adapter, "adapter_config.json", "processor_config.json", image),
            (Adapter, "adapter_config.json", "modules.json", embedding),
        ] {
            let front_matter = front_matter(kind, name, base, base_file);
            assert!(front_matter.contains(expected), "{kind:?} {name} {base_file}: {front_matter}");
        }
        let merged = front_matter(Merged, "modules.json", base, "config.json");
        assert!(merged.contains("library_name: sentence-transformers\n"), "{merged}");
        let adapter =
            front_matter(Adapter, "adapter_config.json", "google/embeddinggemma-300m", "config.json");
        assert!(adapter.contains("library_name: peft\npipeline_tag: sentence-similarity\n"), "{adapter}");
    }
}
