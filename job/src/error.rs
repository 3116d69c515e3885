//! Why an export fails: texts for the person who started it, and the code of the failure.

use std::{error::Error as _, io, time::Duration};

use bucket_snapshot::InvalidName;
use hub_client::HubCause;
use shared::{
    adapters::storage::StorageError,
    domain::{Failure, FailureCode},
};

use crate::hub_cause::failure_code;

/// Longest message in a record, in characters.
const MAX_MESSAGE_LENGTH: usize = 1_000;

/// When to ask again for what needs the Hub, if the Hub does not say.
const HUB_RETRY: Duration = Duration::from_secs(60);

/// The longest time that is passed on, whatever the Hub says.
const MAX_HUB_RETRY: Duration = Duration::from_secs(3_600);

/// Why an export fails. The texts name what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The export or its inputs are not valid.
    #[error("{0}")]
    InvalidInput(String),
    /// The folder or repository of a base model has no model.
    #[error("{0}")]
    NoModel(String),
    /// Something that the export names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Something outside changed or stopped during the export. Exporting again may succeed.
    #[error("{0}")]
    Interrupted(String),
    /// A fault of the service.
    #[error("{0}")]
    Internal(String),
    /// The engine rejected the inputs, or could not read or write.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A document has a URL that is not valid or not of this service's buckets.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A bucket could not be read or written.
    #[error("cannot {action} {location}")]
    Bucket {
        /// The operation: read, write, list or remove.
        action: &'static str,
        /// URL of the file or folder.
        location: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The Hugging Face Hub rejected a request or failed.
    #[error("{message}")]
    Hub {
        /// Why.
        cause: HubCause,
        /// What is wrong, and what to do.
        message: String,
        /// How long the Hub asks to wait before the next request.
        wait: Option<Duration>,
        /// The error of the request.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An error about one field of the request.
    #[error("{field} of the request cannot be used")]
    OfField {
        /// The field's name in the API.
        field: &'static str,
        /// The error, whose message names the problem.
        source: Box<JobError>,
    },
    /// The platform stopped the job, or another execution owns the export.
    #[error("the export was stopped")]
    Stopped,
}

/// The text with the last segments of URLs in buckets in place of the URLs.
pub(crate) fn without_folders(text: &str) -> String {
    let name = |word: &str| match ["gs://", "file://"].iter().find_map(|scheme| word.find(scheme)) {
        Some(start) => {
            let (before, url) = word.split_at(start);
            let end =
                url.rfind(|c: char| !matches!(c, '/' | ':' | ',' | ';' | '.' | ')')).map_or(0, |at| at + 1);
            let (path, after) = url.split_at(url.ceil_char_boundary(end));
            let last = path.rsplit('/').next().unwrap_or(path);
            format!("{before}{last}{}", after.trim_start_matches('/'))
        }
        None => word.to_owned(),
    };
    text.split(' ').map(name).collect::<Vec<_>>().join(" ")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn code_of_io(error: &io::Error) -> FailureCode {
    match error.kind() {
        io::ErrorKind::NotFound => FailureCode::NotFound,
        io::ErrorKind::PermissionDenied => FailureCode::AccessDenied,
        io::ErrorKind::TimedOut => FailureCode::Timeout,
        io::ErrorKind::InvalidFilename => FailureCode::InvalidInput,
        io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::QuotaExceeded => {
            FailureCode::Internal
        }
        _ => FailureCode::Interrupted,
    }
}

fn code_of_engine(error: &engine::Error) -> FailureCode {
    match error {
        engine::Error::Read { source, .. } | engine::Error::Write { source, .. } => code_of_io(source),
        engine::Error::Cancelled => FailureCode::Interrupted,
        engine::Error::Missing { .. }
        | engine::Error::Invalid { .. }
        | engine::Error::InvalidTensor { .. }
        | engine::Error::Unsupported { .. }
        | engine::Error::UnmatchedModules { .. }
        | engine::Error::TooLarge { .. }
        | engine::Error::OtherImatrix { .. } => FailureCode::InvalidInput,
    }
}

impl JobError {
    /// Names the operation and the location of an I/O error.
    pub(crate) fn bucket(action: &'static str, location: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let location = location.to_owned();
        move |source| Self::Bucket { action, location, source }
    }

    /// The same error, about that field of the request.
    pub(crate) fn of_field(self, field: &'static str) -> Self {
        Self::OfField { field, source: Box::new(self) }
    }

    /// The field of the request that has to be changed, if it is one.
    pub(crate) fn field(&self) -> Option<&'static str> {
        if let Self::OfField { field, .. } = self {
            return Some(field);
        }
        if let Self::Engine(engine::Error::TooLarge { .. }) = self {
            return Some("max_bytes");
        }
        if let Self::Engine(engine::Error::OtherImatrix { .. }) = self {
            return Some("imatrix");
        }
        self.inner()?.field()
    }

    /// One line for the record: the error and the kind of its cause, without a server's response, and without the paths of
    /// this service's storage, which the log has.
    pub(crate) fn message(&self) -> String {
        if let Some(error) = self.inner() {
            return error.message();
        }
        let is_named = match self {
            // a bucket that does not exist is named, and a URL that a document should not have
            Self::Bucket { action, source, .. } => {
                *action != "read" && source.kind() == io::ErrorKind::NotFound
            }
            Self::Storage(_) => true,
            Self::InvalidInput(_)
            | Self::NoModel(_)
            | Self::NotFound(_)
            | Self::Interrupted(_)
            | Self::Internal(_)
            | Self::Engine(_)
            | Self::Hub { .. }
            | Self::OfField { .. }
            | Self::Stopped => false,
        };
        let text = self.to_string();
        let mut text = if is_named { text } else { without_folders(&text) };
        match self.io_error().map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => text.push_str(": it does not exist"),
            Some(io::ErrorKind::PermissionDenied) => {
                text.push_str(": the export job's service account has no permission for it");
            }
            Some(io::ErrorKind::StaleNetworkFileHandle) => {
                text.push_str(": it was changed during the export: start the export again");
            }
            Some(io::ErrorKind::StorageFull) => {
                text.push_str(": the disk is full: free space, then start the export again");
            }
            Some(io::ErrorKind::QuotaExceeded) => {
                text.push_str(": the quota of the disk is used up: free space, then start the export again");
            }
            Some(io::ErrorKind::ReadOnlyFilesystem) => text.push_str(": the disk is read-only"),
            Some(io::ErrorKind::InvalidFilename) => text.push_str(&self.invalid_name()),
            Some(io::ErrorKind::UnexpectedEof) => text.push_str(": it is shorter than expected"),
            Some(_) => text.push_str(": the storage failed; start the export again"),
            None => {}
        }
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        one_line.chars().take(MAX_MESSAGE_LENGTH).collect()
    }

    /// The failure for the record.
    pub(crate) fn failure(&self) -> Failure {
        Failure::new(self.code(), self.message())
    }

    pub(crate) fn code(&self) -> FailureCode {
        if let Some(error) = self.inner() {
            return error.code();
        }
        match self {
            Self::InvalidInput(_) | Self::NoModel(_) => FailureCode::InvalidInput,
            Self::NotFound(_) => FailureCode::NotFound,
            Self::Interrupted(_) | Self::Stopped => FailureCode::Interrupted,
            Self::Internal(_) | Self::Storage(StorageError::Unusable { .. }) => FailureCode::Internal,
            Self::Storage(StorageError::Unsupported(..) | StorageError::Malformed(_)) => {
                FailureCode::InvalidInput
            }
            Self::Engine(error) => code_of_engine(error),
            Self::Bucket { source, .. } => code_of_io(source),
            Self::Hub { cause, .. } => failure_code(*cause),
            Self::OfField { source, .. } => source.code(),
        }
    }

    /// Whether there is no base model of that name: no repository, a hidden one, or one without a model.
    pub(crate) fn is_no_base_model(&self) -> bool {
        self.is_repo_not_found() || matches!(self.root(), Self::NoModel(_))
    }

    /// Whether the Hub has no such repository, or hides it from this token.
    pub(crate) fn is_repo_not_found(&self) -> bool {
        matches!(self.root(), Self::Hub { cause: HubCause::MissingRepository, .. })
    }

    /// Whether the Hub has the model, and the token no access to it because it is gated.
    pub(crate) fn is_gated(&self) -> bool {
        matches!(self.root(), Self::Hub { cause: HubCause::Gated, .. })
    }

    /// When to ask again, if the Hub cannot be reached, fails, limits the rate of requests or is busy with another change.
    pub(crate) fn hub_retry_after(&self) -> Option<Duration> {
        let Self::Hub { cause, wait, .. } = self.root() else { return None };
        let is_for_the_caller = failure_code(*cause).is_for_the_caller();
        (!is_for_the_caller).then_some(wait.unwrap_or(HUB_RETRY).min(MAX_HUB_RETRY))
    }

    /// Adds to the message of an error of the Hub, or about what it has.
    pub(crate) fn with_detail(mut self, detail: &str) -> Self {
        if let Self::Hub { message, .. } | Self::NoModel(message) = self.root_mut() {
            message.push_str("; ");
            message.push_str(detail);
        }
        self
    }

    /// Adds what else can be done to the message of an error about what is missing.
    pub(crate) fn with_advice(mut self, advice: &str) -> Self {
        if let Self::InvalidInput(message) | Self::NotFound(message) = self.root_mut() {
            message.push_str("; ");
            message.push_str(advice);
        }
        self.with_detail(advice)
    }

    /// Whether the job was stopped rather than failed.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.root(), Self::Stopped | Self::Engine(engine::Error::Cancelled))
    }

    /// What is wrong with a name in the storage.
    fn invalid_name(&self) -> String {
        let invalid = self.io_error().and_then(|error| error.get_ref()?.downcast_ref::<InvalidName>());
        match invalid.map(InvalidName::name) {
            Some(name) => format!(
                ": the path of its file {name:?} has control characters, . or .., or nothing between slashes: rename or remove it"
            ),
            None => ": its name is too long".to_owned(),
        }
    }

    fn io_error(&self) -> Option<&io::Error> {
        self.source()?.downcast_ref()
    }

    /// The error of this crate in this one: about a field, or what a file of the Hub has given the engine.
    fn inner(&self) -> Option<&Self> {
        if let Self::OfField { source, .. } = self {
            return Some(source);
        }
        self.io_error()?.get_ref()?.downcast_ref()
    }

    /// The innermost error of this crate.
    fn root(&self) -> &Self {
        self.inner().map_or(self, Self::root)
    }

    fn root_mut(&mut self) -> &mut Self {
        if let Self::OfField { source, .. } = self { source.root_mut() } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_has_the_code_of_its_cause() {
        for (cause, code) in [
            (io::ErrorKind::NotFound, FailureCode::NotFound),
            (io::ErrorKind::PermissionDenied, FailureCode::AccessDenied),
            (io::ErrorKind::TimedOut, FailureCode::Timeout),
            (io::ErrorKind::ConnectionReset, FailureCode::Interrupted),
            (io::ErrorKind::UnexpectedEof, FailureCode::Interrupted),
            (io::ErrorKind::StorageFull, FailureCode::Internal),
            (io::ErrorKind::QuotaExceeded, FailureCode::Internal),
            (io::ErrorKind::InvalidFilename, FailureCode::InvalidInput),
        ] {
            assert_eq!(JobError::bucket("read", "gs://models/a")(cause.into()).code(), code, "{cause:?}");
            let file = "gs://models/a".to_owned();
            assert_eq!(JobError::from(engine::Error::Read { file, source: cause.into() }).code(), code);
        }
    }

    #[test]
    fn what_is_not_for_the_caller_is_asked_again_within_an_hour() {
        let retry = |cause, wait| {
            let source = Box::new(std::fmt::Error);
            JobError::Hub { cause, message: String::new(), wait, source }.hub_retry_after()
        };
        for cause in [HubCause::Conflict, HubCause::RateLimited, HubCause::Unavailable, HubCause::Timeout] {
            assert_eq!(retry(cause, None), Some(HUB_RETRY), "{cause:?}");
            assert_eq!(retry(cause, Some(Duration::from_secs(5))), Some(Duration::from_secs(5)));
            assert_eq!(retry(cause, Some(Duration::MAX)), Some(Duration::from_secs(3_600)), "{cause:?}");
        }
        for cause in [HubCause::Gated, HubCause::MissingFile, HubCause::Rejected] {
            assert_eq!(retry(cause, None), None, "{cause:?}");
        }
    }

    #[test]
    fn paths_of_the_storage_are_not_in_messages() {
        for (text, shown) in [
            ("gs://models/adapters/job-1/config.json: tensor a: is F8", "config.json: tensor a: is F8"),
            ("file:///var/lib/x/adapters/job-1/: has no rank", "job-1: has no rank"),
            ("neither (gs://a/b.json) nor gs://a/ü, b", "neither (b.json) nor ü, b"),
            ("a/b and https://c/d stay", "a/b and https://c/d stay"),
        ] {
            assert_eq!(without_folders(text), shown);
        }
    }

    #[test]
    fn no_kind_of_error_has_a_path_of_the_storage() {
        let url = "gs://models/adapters/job-1/x.txt";
        let source = Box::new(std::fmt::Error);
        let hub = JobError::Hub { cause: HubCause::Gated, message: url.into(), wait: None, source };
        for error in [
            JobError::InvalidInput(url.into()),
            JobError::NoModel(url.into()),
            JobError::NotFound(url.into()),
            JobError::Interrupted(url.into()),
            JobError::Internal(url.into()),
            hub,
        ] {
            assert_eq!(error.message(), "x.txt", "{error:?}");
        }
    }

    #[test]
    fn a_name_that_ends_the_listing_of_a_bucket_is_named_for_the_caller() {
        for (path, name) in
            [("ada/g1/a\nb", r"a\nb"), ("ada/g1//config.json", "config.json"), ("ada/g1/../x", "x")]
        {
            let source = object_store::path::Path::parse(path).unwrap_err();
            let error = bucket_snapshot::io_error(source.into());
            let error = JobError::bucket("list", "gs://models/ada/g1")(error);
            let message = error.message();
            assert!(
                message.starts_with(&format!("cannot list g1: the path of its file \"{name}\" has")),
                "{message}"
            );
            assert!(message.ends_with("rename or remove it") && !message.contains("ada"), "{message}");
            assert!(error.code().is_for_the_caller());
        }
    }

    #[test]
    fn a_message_is_one_line_with_the_cause() {
        let error = JobError::bucket("read", "gs://models/a")(io::ErrorKind::NotFound.into());
        assert_eq!(error.message(), "cannot read a: it does not exist");
        let full = JobError::bucket("write", "gs://models/a")(io::ErrorKind::StorageFull.into());
        let message = "cannot write a: the disk is full: free space, then start the export again";
        assert_eq!(full.message(), message);
        let long = JobError::Internal("two\nlines ".repeat(200));
        assert_eq!(long.message().chars().count(), MAX_MESSAGE_LENGTH);
        assert!(long.message().starts_with("two lines two"));
    }
}
