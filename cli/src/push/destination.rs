//! Where exports are pushed, and what is said about it.

use std::path::{Path, PathBuf};

use engine::WrittenFile;
use hub_client::HubCause;
use hub_push::{PushError, PushKind, PushTarget, PushWording};

use super::ExportKind;
use crate::failure::{Failure, FailureKind};
use crate::next_step::quoted;
use crate::sources::HubName;

/// The longest name of a repository, in characters.
const LONGEST_NAME: usize = 96;

/// Where exports are pushed.
pub(super) struct PushDestination {
    /// The option that names the repository.
    pub(super) option: &'static str,
    /// `owner/name`.
    pub(super) repo: String,
    pub(super) is_public: bool,
    /// The base model that the model card names.
    pub(super) base_model: Option<String>,
}

impl PushDestination {
    pub(super) fn target<'a>(&'a self, kind: ExportKind, files: &'a [WrittenFile]) -> PushTarget<'a> {
        let kind = match kind {
            ExportKind::Adapter => PushKind::Adapter,
            ExportKind::Merged => PushKind::Merged,
            ExportKind::Gguf => PushKind::Gguf,
            ExportKind::Lora => PushKind::LoraGguf,
        };
        PushTarget { repo: &self.repo, private: !self.is_public, kind, files }
    }

    /// The command that pushes what is complete.
    pub(super) fn command(&self, paths: &[PathBuf]) -> String {
        let paths: String = paths.iter().map(|path| format!(" {}", quoted(path))).collect();
        let base = self.base_model.as_ref().map(|base| format!(" --base {}", quoted(Path::new(base))));
        let public = if self.is_public { " --public" } else { "" };
        format!("gemma-export push{paths} --to {}{}{public}", self.repo, base.unwrap_or_default())
    }

    pub(super) fn wording(&self) -> PushWording {
        PushWording {
            token: "the token (HF_TOKEN, or `hf auth login`)",
            again: "try again",
            reused: "",
            repository: self.option,
            public: "give --public",
            instead: "",
        }
    }

    pub(super) fn failure(&self, error: &PushError) -> Failure {
        let message = error.message(&self.wording());
        match error {
            PushError::Refused { .. } => Failure::output(message),
            PushError::File { .. } => Failure::input(message),
            PushError::Stopped => Failure::new(FailureKind::Interrupted, "interrupted"),
            PushError::Hub { cause: HubCause::Unavailable, source, .. } if source.response().is_none() => {
                Failure::remote(format!("{message} ({source})"))
            }
            PushError::NoWriteAccess { .. }
            | PushError::Hub { .. }
            | PushError::Differs { .. }
            | PushError::LeftOver { .. }
            | PushError::Redirected(_) => Failure::remote(message),
        }
    }
}

/// The name of a repository, by the rules of the Hub.
pub(super) fn repository(option: &str, text: &str) -> Result<String, Failure> {
    let name = HubName::parse(text).filter(|name| name.revision.is_none()).map(|name| name.repo);
    let is_allowed = |repo: &String| {
        let ends_well = repo.split('/').all(|part| !part.ends_with(['-', '.']));
        let is_plain = !repo.contains("--") && !repo.contains("..") && !repo.ends_with(".git");
        ends_well && is_plain && repo.len() <= LONGEST_NAME
    };
    name.filter(is_allowed).ok_or_else(|| {
        Failure::usage(format!(
            "{option} {text} is no name of a repository on the Hugging Face Hub: give owner/name, with letters, digits, '-', '_' \
             and '.'"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories_follow_the_rules_of_the_hub() {
        for good in ["ada/gemma", "Ada-1/gemma_3.1b"] {
            assert_eq!(repository("--push", good).unwrap(), good);
        }
        let too_long = format!("a/{}", "b".repeat(95));
        for bad in [
            "gemma",
            "ada/",
            "a/b/c",
            "a/b@main",
            "a/x--y",
            "a/x.git",
            "a/x-",
            "a./x",
            "hf.co/a/b",
            &too_long,
        ] {
            let refused = repository("--push", bad).unwrap_err().to_string();
            assert!(refused.contains("give owner/name"), "{bad}: {refused}");
        }
    }

    #[test]
    fn the_command_that_pushes_again_is_complete() {
        let destination = PushDestination {
            option: "--push",
            repo: "ada/x".to_owned(),
            is_public: true,
            base_model: Some("google/gemma-3-1b-it".to_owned()),
        };
        assert_eq!(
            destination.command(&["my model".into(), "b.gguf".into()]),
            "gemma-export push 'my model' b.gguf --to ada/x --base google/gemma-3-1b-it --public"
        );
    }
}
