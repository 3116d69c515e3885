//! What a repository holds before a push, and which of its files contradict what is pushed.

use engine::{FolderEntry, is_adapter_file, is_companion};
use futures_util::TryStreamExt as _;
use hf_hub::{HFError, repository::RepoTreeEntry};
use shared::domain::{ArtifactKind, HubRepo};

use super::{Hub, error::HubOperation};
use crate::{error::JobError, manifest::ManifestFile};

/// The files at the head of a repository's main branch.
#[derive(Debug, Default)]
pub(super) struct RepositoryContents {
    /// The commit, if there is one.
    pub(super) head: Option<String>,
    pub(super) files: Vec<FolderEntry>,
}

impl Hub {
    /// Fails if an export of `kind` to `repo` would be used together with what is there: transformers applies an adapter to
    /// the full model beside it. A repository that cannot be read is left to the push.
    pub(crate) fn check_destination(&self, repo: &HubRepo, kind: ArtifactKind) -> Result<(), JobError> {
        match self.contents(repo, &HubOperation::Write(repo.clone())) {
            Ok(contents) => contents.check(repo, kind),
            Err(error) => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    repo = repo.as_str(),
                    "the destination was not read"
                );
                Ok(())
            }
        }
    }

    pub(super) fn contents(
        &self,
        repo: &HubRepo,
        operation: &HubOperation,
    ) -> Result<RepositoryContents, JobError> {
        let repository = self.repository(repo);
        let Some(head) = self.request(operation, || repository.info().send())?.sha else {
            return Ok(RepositoryContents::default());
        };
        let tree = self.request(operation, async || {
            let listed = repository.list_tree().revision(head.clone()).recursive(true).send()?;
            match listed.try_collect::<Vec<_>>().await {
                // a repository without a commit has no tree
                Err(HFError::EntryNotFound { .. } | HFError::RevisionNotFound { .. }) => Ok(Vec::new()),
                listed => listed,
            }
        })?;
        let files = tree.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => Some(FolderEntry { name: path, size }),
            RepoTreeEntry::Directory { .. } => None,
        });
        Ok(RepositoryContents { head: Some(head), files: files.collect() })
    }
}

impl RepositoryContents {
    pub(super) fn has(&self, name: &str) -> bool {
        self.size_of(name).is_some()
    }

    /// The size of a file, if it exists.
    pub(super) fn size_of(&self, name: &str) -> Option<u64> {
        self.files.iter().find(|file| file.name == name).map(|file| file.size)
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

    /// The files that a loader would use instead of the pushed ones, or on top of them.
    pub(super) fn contradicting(&self, kind: ArtifactKind, pushed: &[ManifestFile]) -> Vec<&str> {
        let contradicts = |name: &str| match kind {
            ArtifactKind::Adapter => is_adapter_file(name),
            ArtifactKind::Merged => is_adapter_file(name) || is_model_weights(name) || is_companion(name),
            ArtifactKind::Gguf => false,
        };
        let is_pushed = |name: &str| pushed.iter().any(|file| file.name == name);
        self.names().filter(|name| contradicts(name) && !is_pushed(name)).collect()
    }
}

/// Whether transformers reads weights from a file of this name.
fn is_model_weights(name: &str) -> bool {
    let stems = [("model", ".safetensors"), ("pytorch_model", ".bin")];
    stems.iter().any(|(stem, end)| {
        name.strip_prefix(stem).is_some_and(|rest| {
            let is_shard = rest.starts_with('-') && rest.ends_with(end);
            rest == *end || is_shard || rest == format!("{end}.index.json")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contradicting(kind: ArtifactKind, existing: &[&str], pushed: &[&str]) -> Vec<String> {
        let files = existing.iter().map(|name| FolderEntry { name: (*name).to_owned(), size: 1 }).collect();
        let file = |name: &&str| ManifestFile { name: (*name).to_owned(), size: 1, sha256: String::new() };
        let pushed: Vec<_> = pushed.iter().map(file).collect();
        let contents = RepositoryContents { head: None, files };
        contents.contradicting(kind, &pushed).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn files_that_a_loader_would_mix_with_the_pushed_ones_contradict() {
        let existing = [
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "added_tokens.json",
            "additional_chat_templates/old.jinja",
            "config.json",
            "model-00001-of-00002.safetensors",
            "model.gguf",
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "sub/model.safetensors",
        ];
        let single = contradicting(ArtifactKind::Merged, &existing, &["config.json", "model.safetensors"]);
        let expected = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "added_tokens.json",
            "additional_chat_templates/old.jinja",
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
        ];
        assert_eq!(single, expected);
        let sharded = ["model-00001-of-00002.safetensors", "model.safetensors.index.json"];
        assert!(
            contradicting(ArtifactKind::Merged, &existing, &sharded)
                .contains(&"model.safetensors".to_owned())
        );
        assert!(contradicting(ArtifactKind::Gguf, &existing, &["model-q4_k_m.gguf"]).is_empty());
        let adapter = ["adapter_config.json", "adapter_model.safetensors"];
        let old = ["adapter_model.bin", "adapter_config.json", "notes.txt"];
        assert_eq!(contradicting(ArtifactKind::Adapter, &old, &adapter), ["adapter_model.bin"]);
    }
}
