//! Ids that are valid by construction, so they can be used as document ids and path segments.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Why a string is not a valid id. `Display` states the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

/// Id of a document in `training_jobs`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Firestore's limit for a string in a query filter, in bytes of UTF-8: the exports of a job are queried by its id.
    /// The limit for a document id is one byte more.
    pub const MAX_BYTES: usize = 1_499;
}

impl FromStr for JobId {
    type Err = InvalidId;

    /// Accepts what Firestore accepts as a document id and in a query filter, except control characters.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let reject = |why| Err(InvalidId(why));
        match text {
            "" => reject("must not be empty"),
            "." | ".." => reject("must not be . or .."),
            _ if text.len() > Self::MAX_BYTES => reject("must not be longer than 1,499 bytes"),
            _ if text.contains('/') => reject("must not contain /"),
            _ if text.chars().any(char::is_control) => reject("must not contain control characters"),
            _ if text.len() >= 4 && text.starts_with("__") && text.ends_with("__") => {
                reject("must not start and end with __")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// Id of a document in `exports`: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ExportId(Uuid);

impl ExportId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id that a hash stands for.
    pub(super) fn from_hash(hash: [u8; 32]) -> Self {
        let [bytes, _] = *hash.as_chunks::<16>().0 else { return Self(Uuid::nil()) };
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl FromStr for ExportId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // the form with hyphens, of the four that the library reads
        let is_hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        let id = Uuid::parse_str(text).ok().filter(|_| is_hyphenated);
        id.map(Self).ok_or(InvalidId("must be a UUID"))
    }
}

/// Firebase uid of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// The maximum length of a Firebase uid, in characters.
    pub const MAX_CHARS: usize = 128;
}

impl FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.chars().count() {
            0 => Err(InvalidId("must not be empty")),
            1..=Self::MAX_CHARS => Ok(Self(text.to_owned())),
            _ => Err(InvalidId("must not be longer than 128 characters")),
        }
    }
}

/// A repository on the Hugging Face Hub, as `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct HubRepo(String);

impl HubRepo {
    /// The maximum length of `owner/name` on the Hub, in characters.
    pub const MAX_CHARS: usize = 96;
}

impl FromStr for HubRepo {
    type Err = InvalidId;

    /// The rules of the Hub: `owner/name`; letters, digits, `-`, `_` and `.`; no `--` or `..`; neither part starts or
    /// ends with `-` or `.`; the name does not end with `.git`; at most 96 characters.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId(
            "must be owner/name: letters, digits, '-', '_' and '.'; neither part may start or end with '-' or '.'; \
             no '--' or '..'; the name must not end with .git; at most 96 characters",
        );
        let is_url_without_scheme = ["hf.co/", "huggingface.co/"].iter().any(|host| text.starts_with(host));
        if text.contains("://") || is_url_without_scheme {
            return Err(InvalidId("must be owner/name, not a URL"));
        }
        if text.ends_with('/') {
            return Err(InvalidId("must be owner/name, without a slash at the end"));
        }
        if text.contains('@') {
            return Err(InvalidId("must be owner/name, without @ and a revision"));
        }
        let Some((owner, name)) = text.split_once('/') else { return Err(invalid) };
        let part_is_valid = |part: &str| {
            let edge = |c: char| c == '-' || c == '.';
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                && !part.starts_with(edge)
                && !part.ends_with(edge)
        };
        let doubled = text.contains("--") || text.contains("..");
        if text.len() > Self::MAX_CHARS
            || doubled
            || name.ends_with(".git")
            || !part_is_valid(owner)
            || !part_is_valid(name)
        {
            return Err(invalid);
        }
        Ok(Self(text.to_owned()))
    }
}

impl HubRepo {
    /// The owner and the name.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }
}

/// Name of the execution that runs an export: a Cloud Run execution or, locally, a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionName(String);

impl ExecutionName {
    /// Wraps the name that the launcher gave the execution.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// Id of a process of an execution. Only that process knows the id, so a repeated claim with it comes from the same
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessId(Uuid);

impl ProcessId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

macro_rules! as_text {
    ($($id:ty),*) => {$(
        impl $id {
            /// The id as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
as_text!(JobId, UserId, HubRepo, ExecutionName);

impl fmt::Display for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_valid_as_a_firestore_document_id_and_in_a_query() {
        let longest = "x".repeat(1_499);
        for good in ["job-1", "a", "...", "__", "___", "__x", "x__", "ü 東", longest.as_str()] {
            assert!(good.parse::<JobId>().is_ok(), "{good}");
        }
        let too_long = "x".repeat(1_500);
        for bad in ["", ".", "..", "a/b", "/", "__x__", "____", "a\nb", "\0", "\u{7f}", too_long.as_str()] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_hub_repo_follows_the_naming_rules_of_the_hub() {
        for good in ["ada/gemma", "Ada-1/gemma_3.1b", "a/b", "_a/b_"] {
            assert!(good.parse::<HubRepo>().is_ok(), "{good}");
        }
        let too_long = format!("a/{}", "b".repeat(95));
        for bad in [
            "",
            "gemma",
            "/gemma",
            "ada/",
            "a/b/c",
            "ada/ge mma",
            "ada/-x",
            "ada/x-",
            "ada/.x",
            "ada/x.",
            "-ada/x",
            "ada/x--y",
            "ada/x..y",
            "ada/x.git",
            "ädа/x",
            "ada\\x",
            "https://hf.co/a/b",
            &too_long,
        ] {
            assert!(bad.parse::<HubRepo>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_uid_has_1_to_128_characters() {
        assert!("".parse::<UserId>().is_err());
        assert!("ü".repeat(128).parse::<UserId>().is_ok());
        assert!("u".repeat(129).parse::<UserId>().is_err());
    }
}
