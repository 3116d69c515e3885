//! What a repository holds before a push, and which of its files contradict what is pushed.

use engine::{ExportReport, is_adapter_file, is_companion};
use hub_client::RepositoryFile;

use crate::card::{self, CARD_FILE};
use crate::client::PushClient;
use crate::error::{HubOperation, PushError};
use crate::request::{PushKind, PushTarget, Refusal, is_mmproj};

/// Largest model card in bytes that is read and written again.
const MAX_CARD_SIZE: u64 = 4 << 20;

/// The files of a repository's main branch at one commit.
#[derive(Debug, Default)]
pub(crate) struct RepositoryContents {
    /// The commit, if there is one.
    pub(crate) head: Option<String>,
    /// Whether only its owner may read it.
    pub(crate) private: Option<bool>,
    pub(crate) files: Vec<RepositoryFile>,
    /// Those that the card lists: of earlier exports.
    pub(crate) exported: Vec<String>,
}

impl PushClient {
    /// What the repository holds at the head of its main branch.
    pub(crate) fn contents(
        &self,
        repo: &str,
        operation: &HubOperation,
    ) -> Result<RepositoryContents, PushError> {
        let failed = |error| operation.failed(error);
        let info = self.requests.info(repo, None).map_err(failed)?;
        let files = self.requests.files_of(repo, &info).map_err(failed)?;
        Ok(RepositoryContents { head: info.sha, private: info.private, files, exported: Vec::new() })
    }

    /// Reads the model card, and notes the files that it lists. Empty if there is none, `None` if it is not text or very large.
    pub(crate) fn read_card(
        &self,
        repo: &str,
        contents: &mut RepositoryContents,
        operation: &HubOperation,
    ) -> Result<Option<String>, PushError> {
        let Some(size) = contents.size_of(CARD_FILE) else { return Ok(Some(String::new())) };
        if size > MAX_CARD_SIZE {
            return Ok(None);
        }
        let revision = contents.head.as_deref().unwrap_or("main");
        let card = String::from_utf8(self.read_small(repo, (CARD_FILE, size), revision, operation)?).ok();
        contents.exported = card.as_deref().map(card::listed_files).unwrap_or_default();
        Ok(card)
    }
}

impl RepositoryContents {
    /// Refuses what the repository's visibility or weights contradict.
    pub(crate) fn check(&self, target: &PushTarget<'_>) -> Result<(), PushError> {
        if target.private && self.private != Some(true) {
            return Err(PushError::refused(target.repo, Refusal::Public));
        }
        match self.names().find(|file| target.kind == PushKind::Adapter && is_model_weights(file)) {
            Some(weights) => Err(PushError::refused(target.repo, Refusal::FullModel(weights.to_owned()))),
            None => Ok(()),
        }
    }

    /// Refuses a GGUF file with which llama.cpp would load an mmproj file of somebody else.
    pub(crate) fn check_mmproj(&self, target: &PushTarget<'_>) -> Result<(), PushError> {
        // llama.cpp loads an adapter beside a model
        let is_model =
            |name: &str| target.kind == PushKind::Gguf && name.ends_with(".gguf") && !is_mmproj(name);
        let Some(model) = target.files.iter().find(|file| is_model(&file.name)) else { return Ok(()) };
        let mixed = self.other_mmprojs(target).find(|(_, use_of)| *use_of == MmprojUse::Mixed);
        mixed.map_or(Ok(()), |(mmproj, _)| {
            let (mmproj, model) = (mmproj.to_owned(), model.name.clone());
            Err(PushError::refused(target.repo, Refusal::Mmproj { mmproj, model }))
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.file(name).is_some()
    }

    /// The size of a file, if it exists.
    pub(crate) fn size_of(&self, name: &str) -> Option<u64> {
        self.file(name).map(|file| file.size)
    }

    pub(crate) fn file(&self, name: &str) -> Option<&RepositoryFile> {
        self.files.iter().find(|file| file.name == name)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// The files that a loader would use instead of the pushed ones, or with them.
    pub(crate) fn contradicting(&self, target: &PushTarget<'_>) -> Vec<&str> {
        let has_companions = target.files.iter().any(|file| is_companion(&file.name));
        let has_index = target.has(INDEX_FILE);
        let contradicts = |name: &str| match target.kind {
            PushKind::Adapter => is_adapter_file(name) || (has_companions && is_companion(name)),
            PushKind::Merged => {
                is_adapter_file(name)
                    || is_model_weights(name)
                    || is_companion(name)
                    || matches!(name, ExportReport::FILE | QUANTIZATION_FILE)
                    || (!has_index && is_weights_without_index(name))
            }
            PushKind::Gguf | PushKind::LoraGguf => self.other_mmprojs(target).any(|(mmproj, use_of)| {
                use_of == MmprojUse::Stale && (name == mmproj || name == ExportReport::beside(mmproj))
            }),
        };
        self.names().filter(|name| contradicts(name) && !target.has(name)).collect()
    }

    /// The mmproj files that are not pushed.
    fn other_mmprojs(&self, target: &PushTarget<'_>) -> impl Iterator<Item = (&str, MmprojUse)> {
        let pushes_one = target.files.iter().any(|file| is_mmproj(&file.name));
        self.names().filter(|name| is_mmproj(name) && !target.has(name)).map(move |name| {
            let model = name.strip_prefix("mmproj-").unwrap_or_default();
            let has_model = self.has(model) && !target.has(model);
            let is_ours = target.has(model) || self.exported.iter().any(|file| file == name);
            let use_of = if has_model && pushes_one {
                MmprojUse::OfItsModel
            } else if is_ours && !has_model {
                MmprojUse::Stale
            } else {
                MmprojUse::Mixed
            };
            (name, use_of)
        })
    }
}

/// What an mmproj file in the repository is to the pushed GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MmprojUse {
    /// It belongs to another GGUF file beside it, and the pushed one has its own.
    OfItsModel,
    /// An earlier export wrote it, for a GGUF file that is replaced or gone.
    Stale,
    /// llama.cpp would load it with the pushed file, or instead of the pushed mmproj file.
    Mixed,
}

/// transformers' name of the shard index.
const INDEX_FILE: &str = "model.safetensors.index.json";

/// vLLM reads the weights as quantized if this file is there.
const QUANTIZATION_FILE: &str = "hf_quant_config.json";

/// Stems and ends of the names that loaders prefer or fall back to: transformers reads `model` and `pytorch_model`, also with a
/// variant (`model.fp16.safetensors`), its TensorFlow and Flax classes `tf_model` and `flax_model`, and vLLM `consolidated`.
const WEIGHTS: [(&str, &str); 6] = [
    ("model", ".safetensors"),
    ("pytorch_model", ".bin"),
    ("tf_model", ".h5"),
    ("flax_model", ".msgpack"),
    ("consolidated", ".safetensors"),
    ("consolidated", ".pth"),
];

/// Whether a loader reads the weights of a full model from a file of this name, or their index.
fn is_model_weights(name: &str) -> bool {
    WEIGHTS.iter().any(|(stem, end)| {
        name.strip_prefix(stem).is_some_and(|rest| {
            let is_weights = rest.starts_with(['.', '-']) && rest.ends_with(end);
            let index = rest.strip_prefix(end).and_then(|rest| rest.strip_suffix(".json"));
            is_weights || index.is_some_and(|index| index.starts_with(".index"))
        })
    })
}

/// vLLM reads every safetensors file of the root folder if there is no index.
fn is_weights_without_index(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains('/')
}

#[cfg(test)]
mod tests {
    use engine::WrittenFile;

    use super::*;

    fn contents(existing: &[&str], exported: &[&str]) -> RepositoryContents {
        let file = |name: &&str| RepositoryFile {
            name: (*name).to_owned(),
            size: 1,
            git_oid: String::new(),
            sha256: None,
        };
        let files = existing.iter().map(file).collect();
        let exported = exported.iter().map(|name| (*name).to_owned()).collect();
        RepositoryContents { files, exported, ..RepositoryContents::default() }
    }

    fn written(names: &[&str]) -> Vec<WrittenFile> {
        let file = |name: &&str| WrittenFile { name: (*name).to_owned(), size: 1, sha256: String::new() };
        names.iter().map(file).collect()
    }

    fn target(kind: PushKind, files: &[WrittenFile]) -> PushTarget<'_> {
        PushTarget { repo: "ada/my-gemma", private: true, kind, files }
    }

    fn contradicting(kind: PushKind, existing: &[&str], pushed: &[&str]) -> Vec<String> {
        let contents = contents(existing, &[]);
        let files = written(pushed);
        contents.contradicting(&target(kind, &files)).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn weights_that_a_loader_would_read_instead_contradict() {
        let weights = [
            "adapter_config.json",
            "adapter_model.bin",
            "consolidated-00001-of-00002.safetensors",
            "consolidated.00.pth",
            "consolidated.safetensors",
            "export-report.json",
            "flax_model-00001-of-00002.msgpack",
            "flax_model.msgpack",
            "flax_model.msgpack.index.json",
            "hf_quant_config.json",
            "model-00001-of-00002.safetensors",
            "model.fp16-00001-of-00002.safetensors",
            "model.fp16.safetensors",
            "model.safetensors.index.fp16.json",
            "model.safetensors.index.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "pytorch_model.fp16.bin",
            "tf_model-00001-of-00002.h5",
            "tf_model.h5",
            "tf_model.h5.index.json",
        ];
        let others = ["README.md", "config.json", "model.gguf", "model_card.md", "sub/model.safetensors"];
        let (loose, existing) = (["control_vector.safetensors"], [&weights[..], &others].concat());
        let existing = [&existing[..], &loose].concat();
        let single = ["config.json", "model.safetensors"];
        assert_eq!(contradicting(PushKind::Merged, &existing, &single), [&weights[..], &loose].concat());
        let sharded = ["model-00001-of-00001.safetensors", "model.safetensors.index.json"];
        let left = contradicting(PushKind::Merged, &existing, &sharded);
        assert!(!left.contains(&loose[0].to_owned()), "vLLM reads the files of the index");
        assert!(contradicting(PushKind::Gguf, &existing, &["model-q4_k_m.gguf"]).is_empty());
    }

    #[test]
    fn companions_of_an_older_model_contradict() {
        let existing = [
            "adapter_model.bin",
            "added_tokens.json",
            "additional_chat_templates/old.jinja",
            "notes.txt",
            "tokenizer.json",
        ];
        let companions = ["added_tokens.json", "additional_chat_templates/old.jinja"];
        let merged = contradicting(PushKind::Merged, &existing, &["model.safetensors", "tokenizer.json"]);
        assert_eq!(merged, [&["adapter_model.bin"], &companions[..]].concat());
        let adapter = ["adapter_config.json", "adapter_model.safetensors"];
        assert_eq!(contradicting(PushKind::Adapter, &existing, &adapter), ["adapter_model.bin"]);
        let with_tokenizer = [&adapter[..], &["tokenizer.json"]].concat();
        assert_eq!(
            contradicting(PushKind::Adapter, &existing, &with_tokenizer),
            [&["adapter_model.bin"], &companions[..]].concat()
        );
    }

    #[test]
    fn an_mmproj_file_of_another_set_is_removed_if_it_is_ours_and_else_refused() {
        let text = ["model.gguf"];
        let both = ["model.gguf", "mmproj-model.gguf"];
        let of_q4 = ["model-q4_k_m.gguf", "mmproj-model-q4_k_m.gguf"];
        let (nothing, mmproj_of_q4): (&[&str], _) = (&[], "mmproj-model-q4_k_m.gguf");
        for (existing, exported, pushed, removed, is_refused) in [
            (&both[..], nothing, &text[..], &["mmproj-model.gguf"][..], false),
            (&both, nothing, &both, &[], false),
            (&of_q4, &of_q4, &both, &[], false),
            (&of_q4, &of_q4, &text, &[], true),
            (&[mmproj_of_q4], &of_q4, &both, &[mmproj_of_q4], false),
            (&[mmproj_of_q4], &of_q4, &text, &[mmproj_of_q4], false),
            (&["gemma.gguf", "mmproj-F16.gguf"], nothing, &text, &[], true),
            (&["gemma.gguf", "mmproj-F16.gguf"], nothing, &both, &[], true),
        ] {
            let (contents, pushed) = (contents(existing, exported), written(pushed));
            let target = target(PushKind::Gguf, &pushed);
            assert_eq!(contents.contradicting(&target), removed, "{existing:?}");
            assert_eq!(contents.check_mmproj(&target).is_err(), is_refused, "{existing:?}");
        }
    }
}
