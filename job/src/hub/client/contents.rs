//! What a repository holds before a push, and which of its files contradict what is pushed.

use engine::{ExportReport, is_adapter_file, is_companion};
use hub_client::{HubError, RepositoryFile, RepositoryInfo};
use shared::domain::{ArtifactKind, HubRepo};

use super::{Hub, error::HubOperation};
use crate::{error::JobError, manifest::ManifestFile};

/// The files of a repository's main branch at one commit.
#[derive(Debug, Default)]
pub(super) struct RepositoryContents {
    /// The commit, if there is one.
    pub(super) head: Option<String>,
    /// Whether only its owner may read it.
    pub(super) private: Option<bool>,
    pub(super) files: Vec<RepositoryFile>,
    /// Those that the card lists: of earlier exports.
    pub(super) exported: Vec<String>,
}

impl Hub {
    /// The files at the commit of `info`.
    pub(super) fn listed_files(
        &self,
        repo: &HubRepo,
        info: &RepositoryInfo,
    ) -> Result<Vec<RepositoryFile>, HubError> {
        match info.sha.as_deref().filter(|_| info.has_files()) {
            Some(commit) => self.requests.files(repo.as_str(), commit),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn contents(
        &self,
        repo: &HubRepo,
        operation: &HubOperation,
    ) -> Result<RepositoryContents, JobError> {
        let failed = |error| operation.failed(error);
        let info = self.requests.info(repo.as_str(), None).map_err(failed)?;
        let files = self.listed_files(repo, &info).map_err(failed)?;
        Ok(RepositoryContents { head: info.sha, private: info.private, files, exported: Vec::new() })
    }
}

impl RepositoryContents {
    /// Rejects a public repository where a private one is required.
    pub(super) fn check_privacy(&self, repo: &HubRepo, private: bool) -> Result<(), JobError> {
        if private && self.private != Some(true) {
            return Err(JobError::InvalidInput(format!(
                "{repo} is public, but the export asks for a private repository: make it private on the Hugging Face \
                 Hub, choose another one, or set hf_private to false"
            )));
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file(name).is_some()
    }

    /// The size of a file, if it exists.
    pub(super) fn size_of(&self, name: &str) -> Option<u64> {
        self.file(name).map(|file| file.size)
    }

    pub(super) fn file(&self, name: &str) -> Option<&RepositoryFile> {
        self.files.iter().find(|file| file.name == name)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    pub(super) fn check(&self, repo: &HubRepo, kind: ArtifactKind) -> Result<(), JobError> {
        match self.names().find(|file| kind == ArtifactKind::Adapter && is_model_weights(file)) {
            Some(weights) => Err(JobError::InvalidInput(format!(
                "{repo} has the weights of a full model ({weights}), to which transformers would apply the adapter: choose \
                 another repository (hf_repo_id), or remove the model there"
            ))),
            None => Ok(()),
        }
    }

    /// Fails if llama.cpp would load an mmproj file of somebody else with the pushed GGUF file.
    pub(super) fn check_mmproj(&self, repo: &HubRepo, pushed: &[ManifestFile]) -> Result<(), JobError> {
        let Some(model) = pushed.iter().find(|file| is_language_model(&file.name)) else { return Ok(()) };
        let refused = self.other_mmprojs(pushed).find(|(_, use_of)| *use_of == MmprojUse::Mixed);
        refused.map_or(Ok(()), |(mmproj, _)| {
            Err(JobError::InvalidInput(format!(
                "{repo} has {mmproj}, which llama.cpp would load with {}: choose another repository (hf_repo_id), or remove \
                 that file there",
                model.name
            )))
        })
    }

    /// The files that a loader would use instead of the pushed ones, or with them.
    pub(super) fn contradicting(&self, kind: ArtifactKind, pushed: &[ManifestFile]) -> Vec<&str> {
        let has_companions = pushed.iter().any(|file| is_companion(&file.name));
        let has_index = pushed.iter().any(|file| file.name == INDEX_FILE);
        let contradicts = |name: &str| match kind {
            ArtifactKind::Adapter => is_adapter_file(name) || (has_companions && is_companion(name)),
            ArtifactKind::Merged => {
                is_adapter_file(name)
                    || is_model_weights(name)
                    || is_companion(name)
                    || matches!(name, ExportReport::FILE | QUANTIZATION_FILE)
                    || (!has_index && is_weights_without_index(name))
            }
            ArtifactKind::Gguf => self.other_mmprojs(pushed).any(|(mmproj, use_of)| {
                use_of == MmprojUse::Stale && (name == mmproj || name == ExportReport::beside(mmproj))
            }),
        };
        self.names().filter(|name| contradicts(name) && !is_in(pushed, name)).collect()
    }

    /// The mmproj files that are not pushed.
    fn other_mmprojs(&self, pushed: &[ManifestFile]) -> impl Iterator<Item = (&str, MmprojUse)> {
        let pushes_one = pushed.iter().any(|file| is_mmproj(&file.name));
        self.names().filter(|name| is_mmproj(name) && !is_in(pushed, name)).map(move |name| {
            let model = name.strip_prefix("mmproj-").unwrap_or_default();
            let has_model = self.has(model) && !is_in(pushed, model);
            let is_ours = is_in(pushed, model) || self.exported.iter().any(|file| file == name);
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

fn is_mmproj(name: &str) -> bool {
    name.contains("mmproj") && name.ends_with(".gguf")
}

/// An adapter of [`crate::plan::lora`] is none: llama.cpp loads it beside a model.
fn is_language_model(name: &str) -> bool {
    name.ends_with(".gguf") && !is_mmproj(name) && !name.starts_with("lora-")
}

fn is_in(pushed: &[ManifestFile], name: &str) -> bool {
    pushed.iter().any(|file| file.name == name)
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

    fn manifest(names: &[&str]) -> Vec<ManifestFile> {
        let file = |name: &&str| ManifestFile { name: (*name).to_owned(), size: 1, sha256: String::new() };
        names.iter().map(file).collect()
    }

    fn contradicting(kind: ArtifactKind, existing: &[&str], pushed: &[&str]) -> Vec<String> {
        let contents = contents(existing, &[]);
        contents.contradicting(kind, &manifest(pushed)).into_iter().map(str::to_owned).collect()
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
        assert_eq!(contradicting(ArtifactKind::Merged, &existing, &single), [&weights[..], &loose].concat());
        let sharded = ["model-00001-of-00001.safetensors", "model.safetensors.index.json"];
        let left = contradicting(ArtifactKind::Merged, &existing, &sharded);
        assert!(!left.contains(&loose[0].to_owned()), "vLLM reads the files of the index");
        assert!(contradicting(ArtifactKind::Gguf, &existing, &["model-q4_k_m.gguf"]).is_empty());
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
        let merged = contradicting(ArtifactKind::Merged, &existing, &["model.safetensors", "tokenizer.json"]);
        assert_eq!(merged, [&["adapter_model.bin"], &companions[..]].concat());
        let adapter = ["adapter_config.json", "adapter_model.safetensors"];
        assert_eq!(contradicting(ArtifactKind::Adapter, &existing, &adapter), ["adapter_model.bin"]);
        let with_tokenizer = [&adapter[..], &["tokenizer.json"]].concat();
        assert_eq!(
            contradicting(ArtifactKind::Adapter, &existing, &with_tokenizer),
            [&["adapter_model.bin"], &companions[..]].concat()
        );
    }

    #[test]
    fn an_mmproj_file_of_another_set_is_removed_if_it_is_ours_and_else_refused() {
        let repo = "ada/my-gemma".parse().unwrap();
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
            let (contents, pushed) = (contents(existing, exported), manifest(pushed));
            assert_eq!(contents.contradicting(ArtifactKind::Gguf, &pushed), removed, "{existing:?}");
            assert_eq!(contents.check_mmproj(&repo, &pushed).is_err(), is_refused, "{existing:?}");
        }
    }
}
