//! What `--base` and `--adapter` name: a folder, or a repository on the Hugging Face Hub.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a model or an adapter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceName {
    Folder(PathBuf),
    Hub(HubName),
}

/// A repository of a model, and a revision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubName {
    /// `owner/name`.
    pub(crate) repo: String,
    /// A branch, a tag or a commit; the main branch if there is none.
    pub(crate) revision: Option<String>,
}

impl SourceName {
    /// A path that exists is a folder, whatever it looks like.
    pub(crate) fn of(path: &Path) -> Self {
        let hub = || HubName::parse(path.to_str()?);
        if path.symlink_metadata().is_ok() {
            return Self::Folder(path.to_owned());
        }
        hub().map_or_else(|| Self::Folder(path.to_owned()), Self::Hub)
    }

    /// What an export of it is named after.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Folder(path) => crate::paths::folder_name(path),
            Self::Hub(name) => name.repo.rsplit('/').next().unwrap_or(&name.repo).to_owned(),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Hub(HubName { repo, revision: None }) => f.write_str(repo),
            Self::Hub(HubName { repo, revision: Some(revision) }) => write!(f, "{repo}@{revision}"),
        }
    }
}

impl HubName {
    /// `owner/name`, or `owner/name@revision`.
    fn parse(text: &str) -> Option<Self> {
        let (repo, revision) = match text.split_once('@') {
            Some((repo, revision)) if !revision.is_empty() => (repo, Some(revision.to_owned())),
            Some(_) => return None,
            None => (text, None),
        };
        let is_part = |part: &str| {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && part.chars().all(is_allowed)
        };
        let (owner, name) = repo.split_once('/')?;
        (is_part(owner) && is_part(name)).then(|| Self { repo: repo.to_owned(), revision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_a_name_and_perhaps_a_revision() {
        let parse = |text| HubName::parse(text).map(|name| (name.repo, name.revision));
        let gemma = || "google/gemma-3-1b-it".to_owned();
        assert_eq!(parse("google/gemma-3-1b-it"), Some((gemma(), None)));
        assert_eq!(parse("google/gemma-3-1b-it@refs/pr/1"), Some((gemma(), Some("refs/pr/1".to_owned()))));
        for path in ["gemma", "./a/b", "../a", "/a/b", "a/b/c", "a/b/", "a//b", "a/b@", "~/a", "a/.b"] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_folder_that_exists_comes_first() {
        assert_eq!(SourceName::of(Path::new("src/sources")), SourceName::Folder("src/sources".into()));
        assert!(matches!(SourceName::of(Path::new("src/absent")), SourceName::Hub(_)));
    }
}
