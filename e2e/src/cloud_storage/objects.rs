//! The objects, by `bucket/path`, and the uploads that are not finished.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

/// An object at one generation.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) content: Arc<[u8]>,
    pub(super) generation: u64,
    /// In quotes.
    pub(super) e_tag: String,
    pub(super) part_sizes: Vec<usize>,
}

/// What a write depends on.
pub(super) enum Precondition {
    None,
    /// The object has this generation; 0: it does not exist.
    Generation(u64),
}

#[derive(Default)]
pub(super) struct Objects {
    state: Mutex<ObjectsState>,
}

#[derive(Default)]
struct ObjectsState {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    overwrites: BTreeMap<String, (usize, Vec<u8>)>,
    removed_buckets: BTreeSet<String>,
    /// Bytes of content that were read, by path.
    bytes_sent: BTreeMap<String, u64>,
    last_generation: u64,
}

impl Objects {
    pub(super) fn put(&self, path: &str, content: Vec<u8>) -> Object {
        self.state().put(path, content, Vec::new())
    }

    /// `None` if the precondition does not hold.
    pub(super) fn put_if(&self, path: &str, content: Vec<u8>, condition: &Precondition) -> Option<Object> {
        let mut state = self.state();
        let is = state.objects.get(path).map_or(0, |object| object.generation);
        match condition {
            Precondition::Generation(expected) if is != *expected => None,
            Precondition::Generation(_) | Precondition::None => Some(state.put(path, content, Vec::new())),
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<Object> {
        self.state().objects.get(path).cloned()
    }

    /// The object, for a read that counts for [`Self::overwrite_after`].
    pub(super) fn read(&self, path: &str) -> Option<Object> {
        let mut state = self.state();
        let object = state.objects.get(path).cloned();
        match state.overwrites.get_mut(path) {
            Some((0, _)) | None => {}
            Some((reads, _)) => *reads -= 1,
        }
        if let Some((_, content)) = state.overwrites.get(path).filter(|(reads, _)| *reads == 0).cloned() {
            state.overwrites.remove(path);
            state.put(path, content, Vec::new());
        }
        object
    }

    pub(super) fn count_sent(&self, path: &str, bytes: usize) {
        *self.state().bytes_sent.entry(path.to_owned()).or_default() += bytes as u64;
    }

    pub(super) fn bytes_sent(&self, path: &str) -> u64 {
        self.state().bytes_sent.get(path).copied().unwrap_or_default()
    }

    pub(super) fn overwrite_after(&self, path: &str, reads: usize, content: Vec<u8>) {
        self.state().overwrites.insert(path.to_owned(), (reads, content));
    }

    pub(super) fn delete(&self, path: &str) -> bool {
        self.state().objects.remove(path).is_some()
    }

    pub(super) fn remove_bucket(&self, name: &str) {
        let mut state = self.state();
        state.objects.retain(|path, _| !path.starts_with(&format!("{name}/")));
        state.removed_buckets.insert(name.to_owned());
    }

    pub(super) fn has_bucket(&self, name: &str) -> bool {
        !self.state().removed_buckets.contains(name)
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The objects of `bucket` whose path in it begins with `prefix`.
    pub(super) fn list(&self, bucket: &str, prefix: &str) -> Vec<(String, Object)> {
        let (folder, start) = (format!("{bucket}/"), format!("{bucket}/{prefix}"));
        let state = self.state();
        let found = state.objects.iter().filter(|(path, _)| path.starts_with(&start));
        found.map(|(path, object)| (path[folder.len()..].to_owned(), object.clone())).collect()
    }

    pub(super) fn begin_upload(&self) -> String {
        let mut state = self.state();
        state.last_generation += 1;
        let id = format!("upload-{}", state.last_generation);
        state.uploads.insert(id.clone(), BTreeMap::new());
        id
    }

    pub(super) fn put_part(&self, upload: &str, number: u32, content: Vec<u8>) -> Option<String> {
        let e_tag = e_tag(&content);
        self.state().uploads.get_mut(upload)?.insert(number, content);
        Some(e_tag)
    }

    pub(super) fn complete_upload(&self, upload: &str, path: &str) -> Option<Object> {
        let mut state = self.state();
        let parts = state.uploads.remove(upload)?;
        let sizes = parts.values().map(Vec::len).collect();
        Some(state.put(path, parts.into_values().flatten().collect(), sizes))
    }

    pub(super) fn abort_upload(&self, upload: &str) {
        self.state().uploads.remove(upload);
    }

    fn state(&self) -> MutexGuard<'_, ObjectsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectsState {
    fn put(&mut self, path: &str, content: Vec<u8>, part_sizes: Vec<usize>) -> Object {
        self.last_generation += 1;
        let e_tag = e_tag(&content);
        let object = Object { content: content.into(), generation: self.last_generation, e_tag, part_sizes };
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn e_tag(content: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Sha256::digest(content)))
}
