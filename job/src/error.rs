//! Why an export fails, in words for the person who asked for it.

use std::{error::Error as _, io};

use shared::adapters::storage::StorageError;

/// Longest message that is kept in a record, in characters.
const LONGEST: usize = 1_000;

/// Why an export fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The inputs are not what this export needs. The text says what to do.
    #[error("{0}")]
    Inputs(String),
    /// The engine refuses them, or could not read or write.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A document names a place that is none of ours.
    #[error(transparent)]
    Place(#[from] StorageError),
    /// A bucket did not work.
    #[error("cannot {action} {place}")]
    Bucket {
        /// What was done.
        action: &'static str,
        /// Where.
        place: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The Hugging Face Hub refused or did not work. The text says what to do.
    #[error("{message}")]
    Hub {
        /// For the person who asked for the export.
        message: String,
        /// What the client said.
        #[source]
        source: Box<hf_hub::HFError>,
    },
    /// The platform told the job to stop, or the export is no longer this job's.
    #[error("the export was stopped")]
    Stopped,
}

impl JobError {
    pub(crate) fn bucket(action: &'static str, place: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Bucket { action, place: place.to_owned(), source }
    }

    /// One line for the record: what happened, and the kind of the fault below it, but not what a server answered.
    pub(crate) fn message(&self) -> String {
        let mut text = self.to_string();
        let io_fault = self.source().and_then(|source| source.downcast_ref::<io::Error>());
        match io_fault.map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => text.push_str(": it does not exist"),
            Some(io::ErrorKind::PermissionDenied) => {
                text.push_str(": the export job's service account may not do that");
            }
            Some(io::ErrorKind::UnexpectedEof) => text.push_str(": it is shorter than it should be"),
            Some(_) => text.push_str(": the storage did not answer as it should; try again"),
            None => {}
        }
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        one_line.chars().take(LONGEST).collect()
    }

    /// Whether the Hub has no such repository, or shows none to this token.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Hub { source, .. } if matches!(**source, hf_hub::HFError::RepoNotFound { .. }))
    }

    /// Whether the job was stopped rather than failed.
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped | Self::Engine(engine::Error::Cancelled))
    }
}
