//! In-memory repositories with one commit each.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A model repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repo {
    /// Whether only the owner has access.
    pub private: bool,
    /// Whether reading files requires an accepted license.
    pub gated: bool,
    /// The number of commits.
    pub commits: usize,
    /// The files by name.
    pub files: BTreeMap<String, Content>,
    /// The files of other revisions (branches, tags), by the revision's name.
    pub revisions: BTreeMap<String, BTreeMap<String, Content>>,
    /// The files of the commits before the latest, by their hashes; the last ones only.
    pub earlier: BTreeMap<String, BTreeMap<String, Content>>,
}

/// The commits before the latest that are kept.
const EARLIER: usize = 8;

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The Xet hash, if the file is in the Xet store.
    pub xet: Option<String>,
}

impl Repo {
    /// With the files of a folder, in one commit.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of_folder(folder: &Path) -> io::Result<Self> {
        let file = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, Content::regular(fs::read(entry.path())?)))
        };
        let files = fs::read_dir(folder)?.map(file).collect::<io::Result<_>>()?;
        Ok(Self { commits: 1, files, ..Self::default() })
    }

    /// With the weights in the storage behind the Hub, and everything else in git.
    #[must_use]
    pub fn with_weights_in_storage(mut self) -> Self {
        for (name, content) in &mut self.files {
            content.xet = name.ends_with(".safetensors").then(|| "00".repeat(32));
        }
        self
    }

    /// The hash of the latest commit, which encodes the number of commits.
    #[must_use]
    pub fn head(&self) -> String {
        format!("{:040x}", self.commits)
    }

    /// Makes another commit, with the files that `change` leaves.
    pub(super) fn commit(&mut self, change: impl FnOnce(&mut BTreeMap<String, Content>)) {
        self.earlier.insert(self.head(), self.files.clone());
        if self.earlier.len() > EARLIER {
            self.earlier.pop_first();
        }
        change(&mut self.files);
        self.commits += 1;
    }

    /// The hash of the commit of another revision.
    #[must_use]
    pub fn commit_of(revision: &str) -> String {
        hex::encode(Sha1::digest(revision))
    }

    /// The commit and the files of a revision, by its name or the hash of its commit.
    pub(super) fn at(&self, revision: &str) -> Option<(String, &BTreeMap<String, Content>)> {
        if revision == "main" || revision == self.head() {
            return Some((self.head(), &self.files));
        }
        if let Some((commit, files)) = self.earlier.get_key_value(revision) {
            return Some((commit.clone(), files));
        }
        let mut others = self.revisions.iter().map(|(name, files)| (name, Self::commit_of(name), files));
        let (_, commit, files) = others.find(|(name, commit, _)| *name == revision || *commit == revision)?;
        Some((commit, files))
    }
}

impl Content {
    /// A file that is stored in git.
    #[must_use]
    pub fn regular(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), xet: None }
    }

    /// The SHA-256 of the bytes, in lowercase hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }

    pub(super) fn git_oid(&self) -> String {
        let blob = Sha1::new().chain_update(format!("blob {}\0", self.bytes.len())).chain_update(&self.bytes);
        hex::encode(blob.finalize())
    }
}

#[derive(Default)]
pub(super) struct Repos(Mutex<StoredRepos>);

#[derive(Default)]
struct StoredRepos {
    by_id: BTreeMap<String, Repo>,
    /// The new ids of repositories by their old ones.
    renamed: BTreeMap<String, String>,
}

impl Repos {
    pub(super) fn get(&self, id: &str) -> Option<Repo> {
        self.lock().by_id.get(id).cloned()
    }

    pub(super) fn put(&self, id: &str, repo: Repo) {
        self.lock().by_id.insert(id.to_owned(), repo);
    }

    pub(super) fn rename(&self, old: &str, new: &str) {
        let mut stored = self.lock();
        if let Some(repo) = stored.by_id.remove(old) {
            stored.by_id.insert(new.to_owned(), repo);
        }
        stored.renamed.insert(old.to_owned(), new.to_owned());
    }

    /// The new id of a repository that was renamed.
    pub(super) fn new_id(&self, old: &str) -> Option<String> {
        self.lock().renamed.get(old).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, StoredRepos> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
