//! Ids, valid by construction: what has one of these types may be used as a document id or a path segment.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id. Displays as what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

/// Id of a document in `training_jobs`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Firestore's limit for a text that a query compares, in bytes of UTF-8: a job's exports are found by its id. One
    /// less than its limit for a document id.
    pub const MAX_BYTES: usize = 1_499;
}

impl FromStr for JobId {
    type Err = InvalidId;

    /// Accepts what Firestore accepts as a document id and as a text to query for, less control characters.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let refuse = |why| Err(InvalidId(why));
        match text {
            "" => refuse("must not be empty"),
            "." | ".." => refuse("must not be . or .."),
            _ if text.len() > Self::MAX_BYTES => refuse("must not be over 1,499 bytes"),
            _ if text.contains('/') => refuse("must not contain /"),
            _ if text.chars().any(char::is_control) => refuse("must not contain control characters"),
            _ if text.len() >= 4 && text.starts_with("__") && text.ends_with("__") => {
                refuse("must not begin and end with __")
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
}

impl FromStr for ExportId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidId("must be a UUID"))
    }
}

/// Firebase uid of a caller or an owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// Firebase's limit for a uid, in characters.
    pub const MAX_CHARS: usize = 128;
}

impl FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.chars().count() {
            0 => Err(InvalidId("must not be empty")),
            1..=Self::MAX_CHARS => Ok(Self(text.to_owned())),
            _ => Err(InvalidId("must not be over 128 characters")),
        }
    }
}

/// A repository on the Hugging Face Hub, as `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct HubRepo(String);

impl HubRepo {
    /// The Hub's limit for `owner/name`, in characters.
    pub const MAX_CHARS: usize = 96;
}

impl FromStr for HubRepo {
    type Err = InvalidId;

    /// The Hub's own rules: `owner/name`, each of letters, digits, `-`, `_` and `.`, neither `--` nor `..`
    /// anywhere, no part that starts or ends with `-` or `.`, no name that ends in `.git`, 96 characters at most.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let form = InvalidId(
            "must be owner/name: letters, digits, '-', '_' and '.', not at an end for '-' and '.', \
             without '--' or '..', not ending in .git, at most 96 characters",
        );
        let Some((owner, name)) = text.split_once('/') else { return Err(form) };
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
            return Err(form);
        }
        Ok(Self(text.to_owned()))
    }
}

impl HubRepo {
    /// Owner and name.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }
}

/// Name of the execution that runs an export: Cloud Run's execution or, locally, a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ExecutionName(String);

impl ExecutionName {
    /// Wraps a launcher's own name for what it launched.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// A process of an execution. Nobody else knows its id, so who brings it again is the same process.
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
            /// The id as text.
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
    fn a_job_id_is_what_firestore_takes_as_a_document_id_and_in_a_query() {
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
    fn a_hub_repo_has_the_hubs_own_form() {
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
