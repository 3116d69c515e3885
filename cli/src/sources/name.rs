//! What `--base` and `--adapter` name: a folder, a repository on the Hugging Face Hub, or a URL.

use std::fmt;
use std::path::{Path, PathBuf};

use hub_client::HubSettings;

/// Where a model or an adapter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceName {
    Folder(PathBuf),
    Hub(HubName),
    /// The URL of a folder in Cloud Storage or on a web server.
    Url(String),
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
        let folder = || Self::Folder(path.to_owned());
        let Some(text) = path.to_str().filter(|_| path.symlink_metadata().is_err()) else { return folder() };
        if let Some(hub) = HubName::of_page(text) {
            return Self::Hub(hub);
        }
        if ["gs://", "https://", "http://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Self::Url(text.to_owned());
        }
        HubName::parse(text).map_or_else(folder, Self::Hub)
    }

    /// The repository, if it is one.
    pub(crate) fn repo(&self) -> Option<&str> {
        match self {
            Self::Hub(name) => Some(&name.repo),
            Self::Folder(_) | Self::Url(_) => None,
        }
    }

    /// What an export of it is named after.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Folder(path) => crate::paths::folder_name(path),
            Self::Hub(HubName { repo: path, .. }) | Self::Url(path) => {
                path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
            }
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Hub(HubName { repo: text, revision: None }) | Self::Url(text) => f.write_str(text),
            Self::Hub(HubName { repo, revision: Some(revision) }) => write!(f, "{repo}@{revision}"),
        }
    }
}

impl HubName {
    /// The repository whose page has this URL.
    fn of_page(url: &str) -> Option<Self> {
        let path = url.strip_prefix(HubSettings::DEFAULT_ENDPOINT)?.trim_matches('/');
        match path.split_once("/tree/") {
            Some((repo, revision)) => Self::parse(&format!("{repo}@{revision}")),
            None => Self::parse(path),
        }
    }

    /// `owner/name`, or `owner/name@revision`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
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
    fn urls_are_those_of_folders_and_of_pages_of_the_hub() {
        let of = |text: &str| SourceName::of(Path::new(text)).to_string();
        assert_eq!(of("https://huggingface.co/google/gemma-3-1b-it"), "google/gemma-3-1b-it");
        assert_eq!(of("https://huggingface.co/google/gemma-3-1b-it/tree/main/"), "google/gemma-3-1b-it@main");
        for url in ["gs://models/gemma", "https://models.test/gemma/"] {
            assert_eq!(SourceName::of(Path::new(url)), SourceName::Url(url.to_owned()));
            assert_eq!(SourceName::of(Path::new(url)).title(), "gemma");
        }
    }

    #[test]
    fn a_folder_that_exists_comes_first() {
        assert_eq!(SourceName::of(Path::new("src/sources")), SourceName::Folder("src/sources".into()));
        assert!(matches!(SourceName::of(Path::new("src/absent")), SourceName::Hub(_)));
    }
}
