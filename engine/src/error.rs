//! What can go wrong, in words for the person who asked for the export.

use std::io;

/// The end of every message about a value that is not finite.
pub(crate) const NON_FINITE: &str =
    "NaN or infinite: the training may have diverged (--allow-non-finite exports it nevertheless)";

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an export cannot be made. Each variant names the file, and where there is one, the tensor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input could not be read.
    #[error("cannot read {file}")]
    Read {
        /// The file's location.
        file: String,
        /// What the file system or the store said.
        #[source]
        source: io::Error,
    },
    /// An output could not be written.
    #[error("cannot write {file}")]
    Write {
        /// The file's name.
        file: String,
        /// What the file system or the store said.
        #[source]
        source: io::Error,
    },
    /// A folder lacks a file that is needed.
    #[error("{folder} has no {what}")]
    Missing {
        /// The folder's location.
        folder: String,
        /// The missing file, and what to do about it.
        what: String,
    },
    /// A file's content breaks its format or contradicts the files beside it.
    #[error("{file}: {problem}")]
    Invalid {
        /// The file's location.
        file: String,
        /// The broken rule.
        problem: String,
    },
    /// A tensor breaks its format or does not fit what it is to be combined with.
    #[error("{file}: tensor {tensor}: {problem}")]
    InvalidTensor {
        /// The file's location.
        file: String,
        /// The tensor's name in that file.
        tensor: String,
        /// The broken rule.
        problem: String,
    },
    /// Something this engine cannot apply exactly, so that it does not apply it at all.
    #[error("{file}: {feature} is not supported{}", advice.as_deref().map(|a| format!(": {a}")).unwrap_or_default())]
    Unsupported {
        /// The file that asks for it.
        file: String,
        /// The feature, as the file names it.
        feature: String,
        /// What to do instead, where something can be done.
        advice: Option<String>,
    },
    /// Adapter tensors that belong to no tensor of the base model.
    #[error(
        "{} of {total} adapter modules match no tensor of the base model (is it the right base?): {}",
        modules.len(), some_of(modules)
    )]
    UnmatchedModules {
        /// The adapter's modules that match no tensor, as the adapter names them.
        modules: Vec<String>,
        /// How many modules the adapter has.
        total: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn read(file: impl Into<String>, source: io::Error) -> Self {
        Self::Read { file: file.into(), source }
    }

    pub(crate) fn write(file: impl Into<String>, source: io::Error) -> Self {
        Self::Write { file: file.into(), source }
    }

    pub(crate) fn invalid(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { file: file.into(), problem: problem.into() }
    }

    pub(crate) fn tensor(
        file: impl Into<String>,
        tensor: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::InvalidTensor { file: file.into(), tensor: tensor.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(file: impl Into<String>, feature: impl Into<String>) -> Self {
        Self::Unsupported { file: file.into(), feature: feature.into(), advice: None }
    }

    pub(crate) fn advise(self, text: impl Into<String>) -> Self {
        match self {
            Self::Unsupported { file, feature, .. } => {
                Self::Unsupported { file, feature, advice: Some(text.into()) }
            }
            other @ (Self::Read { .. }
            | Self::Write { .. }
            | Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::InvalidTensor { .. }
            | Self::UnmatchedModules { .. }
            | Self::Cancelled) => other,
        }
    }
}

/// The first names of a list that may be very long.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
