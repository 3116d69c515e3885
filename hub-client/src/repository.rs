//! A repository at one commit: its files, and a folder that reads them by ranges.

use std::{collections::BTreeMap, io, sync::Arc};

use engine::{Folder, FolderEntry, Source, is_directly_in};
use reqwest::{Url, header};
use serde::Deserialize;

use crate::{
    error::{Explain, HubError},
    file::HubFile,
    requests::HubClient,
};

/// What the Hub says about a model's repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RepositoryInfo {
    /// The commit of the revision; none if the repository is empty.
    pub sha: Option<String>,
    /// Whether only its owner may read it.
    pub private: Option<bool>,
    siblings: Option<Vec<Sibling>>,
}

/// A file in the info of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Sibling {}

impl RepositoryInfo {
    /// Whether there are files to list. The list of a repository without any is an error.
    fn has_files(&self) -> bool {
        self.sha.is_some() && self.siblings.as_ref().is_none_or(|siblings| !siblings.is_empty())
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFile {
    /// The path.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// Git's hash; of a large file that of the pointer to it.
    pub git_oid: String,
    /// The SHA-256, if it is a large file, which is not in git.
    pub sha256: Option<String>,
}

impl RepositoryFile {
    /// Changes when the content does.
    #[must_use]
    pub fn version(&self) -> &str {
        self.sha256.as_deref().unwrap_or(&self.git_oid)
    }
}

/// An entry of the list of files.
#[derive(Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: Option<String>,
}

impl HubClient {
    /// The info of a repository (`owner/name`) at a revision; without one, at the head of its main branch.
    ///
    /// # Errors
    /// When there is no such repository or revision, or the Hub fails.
    pub fn info(&self, repo: &str, revision: Option<&str>) -> Result<RepositoryInfo, HubError> {
        self.block_on(self.with_retries(|| self.try_info(repo, revision)))
    }

    /// The same with one request, which is not repeated.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn try_info(&self, repo: &str, revision: Option<&str>) -> Result<RepositoryInfo, HubError> {
        let revision = revision.into_iter().flat_map(|revision| ["revision", revision]);
        let url = self.url(["api", "models"].into_iter().chain(repo.split('/')).chain(revision));
        Ok(self.get(url).await?.json().await?)
    }

    /// Every file of a revision that has files.
    ///
    /// # Errors
    /// When the Hub fails.
    pub fn files(&self, repo: &str, revision: &str) -> Result<Vec<RepositoryFile>, HubError> {
        let url = self.url(["api", "models"].into_iter().chain(repo.split('/')).chain(["tree", revision]));
        let mut page = Some(url);
        if let Some(url) = &mut page {
            url.query_pairs_mut().append_pair("recursive", "true");
        }
        let mut files = Vec::new();
        while let Some(url) = page {
            let (entries, next) = self.block_on(self.with_retries(|| self.tree_page(&url)))?;
            files.extend(entries.into_iter().filter(|entry| entry.kind == "file").map(RepositoryFile::from));
            page = next;
        }
        Ok(files)
    }

    /// Every file at the commit of `info`: none if there is no commit.
    ///
    /// # Errors
    /// When the Hub fails.
    pub fn files_of(&self, repo: &str, info: &RepositoryInfo) -> Result<Vec<RepositoryFile>, HubError> {
        match info.sha.as_deref().filter(|_| info.has_files()) {
            Some(commit) => self.files(repo, commit),
            None => Ok(Vec::new()),
        }
    }

    /// A page of the list, and where the next is.
    async fn tree_page(&self, url: &Url) -> Result<(Vec<TreeEntry>, Option<Url>), HubError> {
        let response = self.get(url.clone()).await?;
        let next =
            response.headers().get(header::LINK).and_then(|links| page_after(url, links.to_str().ok()?));
        Ok((response.json().await?, next))
    }
}

/// The page after `url`, at this address, which can be a proxy of the Hub's.
fn page_after(url: &Url, links: &str) -> Option<Url> {
    let mut next = url.clone();
    next.set_query(url.join(next_page(links)?).ok()?.query());
    Some(next)
}

/// The target of `<…>; rel="next"` in a `Link` header (RFC 8288).
#[must_use]
pub fn next_page(links: &str) -> Option<&str> {
    links.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        parameters.contains("rel=\"next\"").then_some(target)
    })
}

impl From<TreeEntry> for RepositoryFile {
    fn from(entry: TreeEntry) -> Self {
        let sha256 = entry.lfs.and_then(|lfs| lfs.oid);
        Self { name: entry.path, size: entry.size, git_oid: entry.oid, sha256 }
    }
}

/// The files of a repository at one commit.
pub struct HubFolder {
    revision: String,
    location: String,
    /// By name. The Hub is asked once where each is.
    files: BTreeMap<String, Arc<HubFile>>,
}

impl HubFolder {
    /// The folder of these files of `repo` at the commit `revision`.
    #[must_use]
    pub fn new(
        client: &Arc<HubClient>,
        repo: &str,
        revision: &str,
        files: &[RepositoryFile],
        explain: &Explain,
    ) -> Self {
        let open = |file: &RepositoryFile| {
            let source = HubFile::new(client, repo, revision, (&file.name, file.size), explain);
            (file.name.clone(), Arc::new(source))
        };
        let location = format!("{}/{repo}", client.settings().endpoint);
        Self { revision: revision.to_owned(), location, files: files.iter().map(open).collect() }
    }

    /// A file, if it exists.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Arc<HubFile>> {
        self.files.get(name)
    }
}

impl Folder for HubFolder {
    fn location(&self) -> &str {
        &self.location
    }

    fn revision(&self) -> Option<&str> {
        Some(&self.revision)
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let files = self.files.iter().filter(|(name, _)| !name.contains('/'));
        Ok(files.map(|(name, file)| FolderEntry { name: name.clone(), size: file.size() }).collect())
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        Ok(self.files.keys().filter(|name| is_directly_in(name, subfolder)).cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::clone(self.file(name).ok_or(io::ErrorKind::NotFound)?) as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_in_the_link_header() {
        let next = "<https://hub.test/api/models/a/b/tree/main?cursor=x>; rel=\"next\"";
        for url in ["https://hub.test/api/models/a/b/tree/main", "http://proxy/hub/api/models/a/b/tree/main"]
        {
            let page = |links: &str| Some(page_after(&url.parse().unwrap(), links)?.to_string());
            let expected = Some(format!("{url}?cursor=x"));
            assert_eq!(page(next), expected);
            assert_eq!(page(&format!("</first>; rel=\"first\", {next}")), expected);
            assert_eq!(page("</first>; rel=\"first\""), None);
        }
    }
}
