//! Why the command fails, and the exit status of each kind of failure.

use std::error::Error;
use std::fmt;
use std::io;

use engine::ErrorInFolder;
use indicatif::DecimalBytes;
use serde_json::{Value, json};

/// What a signal does.
const INTERRUPTED: &str = "interrupted";

/// The kinds of failure that have an exit status of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// None of the others.
    Other,
    /// Arguments that contradict each other.
    Usage,
    /// An export is complete and keeps less of the fine-tune than it must.
    Survival,
    /// An input is missing, or cannot be exported exactly.
    Input,
    /// An output exists, or cannot be written.
    Output,
    /// The Hub, a store or a server refused, or could not be reached.
    Remote,
    /// An existing export differs from what its inputs give.
    Difference,
    /// `check` found what keeps programs from serving the model as it was trained.
    Finding,
    /// An export of the service that was followed has failed.
    ExportFailed,
    /// An export of the service that was followed was cancelled.
    ExportCancelled,
    /// A signal ended the command.
    Interrupted,
}

impl FailureKind {
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Other => 1,
            // that of clap, which checks single arguments
            Self::Usage => 2,
            Self::Survival => 3,
            Self::Input => 4,
            Self::Output => 5,
            Self::Remote => 6,
            Self::Difference => 7,
            Self::Finding => 8,
            Self::ExportFailed => 9,
            Self::ExportCancelled => 10,
            // as a shell reports SIGINT
            Self::Interrupted => 130,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Survival => "survival",
            Self::Input => "input",
            Self::Output => "output",
            Self::Remote => "remote",
            Self::Difference => "difference",
            Self::Finding => "finding",
            Self::ExportFailed => "export_failed",
            Self::ExportCancelled => "export_cancelled",
            Self::Interrupted => INTERRUPTED,
        }
    }
}

/// A failure, with a message that says what to do.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    message: String,
    /// The bytes of the output that `--resume` goes on behind.
    kept_bytes: Option<u64>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), kept_bytes: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Input, message)
    }

    pub(crate) fn output(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Output, message)
    }

    /// Of an output that cannot be written: `problem` is like "cannot write m.gguf".
    pub(crate) fn unwritable(problem: impl fmt::Display, error: &io::Error) -> Self {
        let is = |kind| error.kind() == kind;
        let remedy = if is(io::ErrorKind::PermissionDenied) {
            ": choose another output, or change the permissions of its folder"
        } else if is(io::ErrorKind::ReadOnlyFilesystem) {
            ": choose another output"
        } else {
            ""
        };
        Self::output(format!("{problem}: {error}{remedy}"))
    }

    pub(crate) fn remote(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Remote, message)
    }

    /// Of an output whose name another process has given to a file meanwhile.
    pub(crate) fn appeared(error: &io::Error) -> Option<Self> {
        let appeared = error.get_ref()?.downcast_ref::<engine::FileAppeared>()?;
        Some(Self::output(format!("{appeared}: choose another output, or replace it with --force")))
    }

    /// Of a measurement of the fine-tune's survival in an export that is complete.
    pub(crate) fn after_export(self) -> Self {
        let problem = if self.kind == FailureKind::Interrupted { INTERRUPTED } else { &self.message };
        let message = format!(
            "the export is complete, but the survival of the fine-tune is not known: {problem}; `gemma-export verify --survival` measures it"
        );
        Self { message, ..self }
    }

    /// Of an export that has kept so many bytes of its output, if any.
    pub(crate) fn keeping(self, kept_bytes: Option<u64>) -> Self {
        let Some(bytes) = kept_bytes else { return self };
        let problem = if self.kind == FailureKind::Interrupted { INTERRUPTED } else { &self.message };
        let kept = DecimalBytes(bytes);
        let message = format!(
            "{problem}; {kept} of the output are kept in hidden files: run the same command again with --resume"
        );
        Self { kind: self.kind, message, kept_bytes }
    }

    /// Whether something is kept for `--resume`.
    pub(crate) fn keeps_some(&self) -> bool {
        self.kept_bytes.is_some()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object =
            json!({ "kind": self.kind.as_str(), "exit_status": self.kind.status(), "message": self.message });
        if let Some(bytes) = self.kept_bytes {
            object["kept_bytes"] = bytes.into();
        }
        object
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        if let engine::Error::Read { source, .. } = &error
            && let Some(failure) = source.get_ref().and_then(|inner| inner.downcast_ref::<Self>())
        {
            return failure.clone();
        }
        if let engine::Error::Write { source, .. } = &error
            && let Some(failure) = Self::appeared(source)
        {
            return failure;
        }
        let is_remote = matches!(&error, engine::Error::Read { source, .. }
            if source.get_ref().is_some_and(|inner| inner.is::<object_store::Error>()));
        let kind = match &error {
            engine::Error::Read { .. } if is_remote => FailureKind::Remote,
            engine::Error::Write { .. } => FailureKind::Output,
            engine::Error::Cancelled => {
                return Self::new(
                    FailureKind::Interrupted,
                    format!("{INTERRUPTED}: no partial output remains"),
                );
            }
            engine::Error::Read { .. }
            | engine::Error::Missing { .. }
            | engine::Error::Invalid { .. }
            | engine::Error::InvalidTensor { .. }
            | engine::Error::Unsupported { .. }
            | engine::Error::UnmatchedModules { .. }
            | engine::Error::TooLarge { .. }
            | engine::Error::OtherImatrix { .. } => FailureKind::Input,
        };
        if let engine::Error::Write { file, source } = &error
            && let Some(inner) = source.get_ref().and_then(|inner| inner.downcast_ref::<ErrorInFolder>())
        {
            let folder = inner.folder.strip_prefix(".").unwrap_or(&inner.folder);
            let path = folder.join(file);
            return Self::unwritable(format_args!("cannot write {}", path.display()), &inner.error);
        }
        let hint = if error.is_non_finite() { " (--allow-non-finite exports it anyway)" } else { "" };
        Self::new(kind, format!("{error}{hint}{}", causes(&error)))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(FailureKind::Other, format!("the result cannot be written as JSON: {error}"))
    }
}

/// The causes of an error, in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
