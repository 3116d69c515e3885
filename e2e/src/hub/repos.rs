//! Repositories: files at one commit each.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A model's repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repo {
    /// Whether only its owner sees it.
    pub private: bool,
    /// Whether a licence must be accepted to read its files.
    pub gated: bool,
    /// How many commits it has.
    pub commits: usize,
    /// Its files, by name.
    pub files: BTreeMap<String, Content>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its hash in the Xet store, if it is kept there.
    pub xet: Option<String>,
}

impl Repo {
    /// A commit's name, which says how many there were.
    #[must_use]
    pub fn head(&self) -> String {
        format!("{:040x}", self.commits)
    }
}

impl Content {
    /// A file that is kept in git.
    #[must_use]
    pub fn regular(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), xet: None }
    }

    /// The hash of its bytes, in lower-case hex.
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
pub(super) struct Repos(Mutex<BTreeMap<String, Repo>>);

impl Repos {
    pub(super) fn get(&self, id: &str) -> Option<Repo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(super) fn put(&self, id: &str, repo: Repo) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), repo);
    }
}
