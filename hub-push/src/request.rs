//! What is pushed, and where.

use std::sync::Arc;

use engine::{Folder, WrittenFile};
use hub_client::RetryMonitor;

/// What the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushKind {
    /// An adapter as PEFT saves it.
    Adapter,
    /// A model for transformers.
    Merged,
    /// GGUF files of a model.
    Gguf,
    /// GGUF files of an adapter.
    LoraGguf,
}

impl PushKind {
    /// Its name in the message of the commit.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Merged => "merged",
            Self::Gguf | Self::LoraGguf => "gguf",
        }
    }

    /// Whether the files need the base model.
    pub(crate) fn is_adapter(self) -> bool {
        matches!(self, Self::Adapter | Self::LoraGguf)
    }
}

/// Files, and the repository they go to.
#[derive(Debug, Clone, Copy)]
pub struct PushTarget<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// Whether the repository must be private.
    pub private: bool,
    /// What the files are.
    pub kind: PushKind,
    /// Every file besides the card.
    pub files: &'a [WrittenFile],
}

impl<'a> PushTarget<'a> {
    /// The repository without its owner.
    pub(crate) fn title(&self) -> &'a str {
        parts(self.repo).1
    }

    /// Whether a file of this name is pushed.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }
}

/// The owner and the name of a repository.
pub(crate) fn parts(repo: &str) -> (&str, &str) {
    repo.split_once('/').unwrap_or((repo, ""))
}

/// Whether llama.cpp takes a file of this name for the encoders of a model.
pub(crate) fn is_mmproj(name: &str) -> bool {
    name.contains("mmproj") && name.ends_with(".gguf")
}

/// What the model card says besides the files.
#[derive(Debug, Clone, Copy)]
pub struct ModelCard<'a> {
    /// The base model (`owner/name`), if it is known.
    pub base_model: Option<&'a str>,
    /// The names of the base model's files, as far as they are known.
    pub base_files: &'a [&'a str],
    /// How the model was made and what was measured of it.
    pub description: &'a str,
}

/// A push.
pub struct PushRequest<'a> {
    /// The files, and the repository.
    pub target: PushTarget<'a>,
    /// The content of the model card.
    pub card: ModelCard<'a>,
    /// Where the files are read.
    pub folder: Arc<dyn Folder>,
}

/// Why files do not go with a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is public, and a private one was asked for.
    Public,
    /// It has the weights of a full model (the name of a file), to which an adapter would be applied.
    FullModel(String),
    /// It has an mmproj file that llama.cpp would load with the pushed model.
    Mmproj {
        /// The file in the repository.
        mmproj: String,
        /// The pushed model.
        model: String,
    },
    /// The Hub does not offer Xet, which files over this size in bytes need.
    NoXet(u64),
}

/// Is told of the progress of pushes, and ends them.
pub trait PushMonitor: RetryMonitor {
    /// A commit of `total` bytes begins, perhaps again.
    fn begin(&self, message: String, total: u64);

    /// Further bytes are uploaded.
    fn advance(&self, bytes: u64);
}
