//! Whether an export fits on its disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indicatif::DecimalBytes;

use crate::failure::Failure;

/// Bytes of the files that are written to each folder.
#[derive(Debug, Default)]
pub(crate) struct DiskSpace(BTreeMap<PathBuf, u64>);

impl DiskSpace {
    pub(crate) fn add(&mut self, folder: &Path, bytes: u64) {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        *self.0.entry(folder).or_default() += bytes;
    }

    /// Fails if a disk has less free space than its files need. A file system that does not tell is not checked.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let free = |(folder, needed): (&PathBuf, &u64)| {
            let available = fs4::available_space(folder).ok()?;
            (available < *needed).then(|| too_small(folder, available, *needed))
        };
        self.0.iter().find_map(free).map_or(Ok(()), Err)
    }
}

fn too_small(folder: &Path, available: u64, needed: u64) -> Failure {
    Failure::output(format!(
        "the disk of {} has {} free, and the export needs {}: free some space, or choose another output",
        folder.display(),
        DecimalBytes(available),
        DecimalBytes(needed)
    ))
}
