//! Errors, with messages for the user of an export.

use std::fmt;
use std::io;

/// The end of every message about a value that is not finite.
pub(crate) const NON_FINITE: &str = "NaN or infinite: the training may have diverged";

/// The end of every message about a value that becomes NaN or infinity in the type of the output.
const OUT_OF_RANGE: &str = "would be NaN or infinite in the output: bf16 and f32 store larger values";

/// The end of every message about a file that ends too early.
pub(crate) const TRUNCATED: &str = "the file is truncated or damaged; copy or upload it again";

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an export fails. Each variant names the file, and the tensor if there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input could not be read.
    #[error("cannot read {file}")]
    Read {
        /// The file's location.
        file: String,
        /// The error of the file system or the object store.
        #[source]
        source: io::Error,
    },
    /// An output could not be written.
    #[error("cannot write {file}")]
    Write {
        /// The file's name.
        file: String,
        /// The error of the file system or the object store.
        #[source]
        source: io::Error,
    },
    /// A folder lacks a required file.
    #[error("{folder} has no {what}")]
    Missing {
        /// The folder's location.
        folder: String,
        /// The missing file, and what to do about it.
        what: String,
    },
    /// The content of a file violates its format or contradicts other files of the folder.
    #[error("{file}: {problem}")]
    Invalid {
        /// The file's location.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A tensor violates the format or does not match the tensor it is combined with.
    #[error("{file}: tensor {tensor}: {problem}")]
    InvalidTensor {
        /// The file's location.
        file: String,
        /// The tensor's name in that file.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// A feature that cannot be applied exactly.
    #[error("{file}: {feature} is not supported{}", advice.as_deref().map(|a| format!(": {a}")).unwrap_or_default())]
    Unsupported {
        /// The file that requires it.
        file: String,
        /// The feature, as the file names it.
        feature: String,
        /// What to do instead, if there is a way.
        advice: Option<String>,
    },
    /// Adapter modules that match no tensor of the base model.
    #[error(
        "{} of {total} adapter modules match no tensor of the base model ({}): {}",
        modules.len(), right_base(base_model.as_deref()), first_names(modules)
    )]
    UnmatchedModules {
        /// The adapter's modules that match no tensor, as the adapter names them.
        modules: Vec<String>,
        /// How many modules the adapter has.
        total: usize,
        /// The base model that the adapter's configuration names.
        base_model: Option<String>,
    },
    /// Even in the smallest types, a GGUF file is larger than it may be.
    #[error(
        "{model}: has {smallest} bytes in the smallest types, more than {max_bytes}: allow {smallest} at least"
    )]
    TooLarge {
        /// The model's location.
        model: String,
        /// The bytes of the smallest file that is possible.
        smallest: u64,
        /// The most bytes that it may have.
        max_bytes: u64,
    },
    /// An importance matrix is of another model.
    #[error(
        "importance matrix: tensor {tensor}: has {columns} columns and {experts} experts, but {importances} importances"
    )]
    OtherImatrix {
        /// The tensor's name in the GGUF file.
        tensor: String,
        /// The columns that it has.
        columns: u64,
        /// The experts that it has, at least one.
        experts: u64,
        /// The importances that the matrix has of it.
        importances: u64,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Whether it is about a value that is NaN or infinite, which `RunOptions::allow_non_finite` exports.
    pub fn is_non_finite(&self) -> bool {
        matches!(self, Self::InvalidTensor { problem, .. }
            if problem.ends_with(NON_FINITE) || problem.ends_with(OUT_OF_RANGE))
    }

    /// Whether the same export may succeed later: an input was not reached, an output not written, or the caller stopped.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Write { .. } | Self::Cancelled)
    }

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

    /// About an element that exceeds the range of the type it is stored as.
    pub(crate) fn out_of_range(
        file: impl Into<String>,
        tensor: impl Into<String>,
        (element, value): (u64, f32),
        stored: impl fmt::Display,
    ) -> Self {
        let problem =
            format!("element {element} ({value:e}) exceeds the range of {stored} and {OUT_OF_RANGE}");
        Self::tensor(file, tensor, problem)
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
            | Self::TooLarge { .. }
            | Self::OtherImatrix { .. }
            | Self::Cancelled) => other,
        }
    }
}

/// A question for somebody who gave an adapter with a base that it does not fit.
pub(crate) fn right_base(named: Option<&str>) -> String {
    match named {
        Some(named) => format!("is it the right base? The adapter's configuration names {named}"),
        None => "is it the right base?".to_owned(),
    }
}

/// The first names of a list, and the number of the others.
pub(crate) fn first_names(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
