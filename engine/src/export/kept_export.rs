//! What an export that ended early has kept for a later run.

use std::path::{Path, PathBuf};

use super::journal::JournalText;
use crate::io::{abandoned_bytes, read_abandoned_journal, remove_abandoned, remove_abandoned_journal};

/// Drafts and journal of an export that ended early.
#[derive(Debug, Clone)]
pub struct KeptExport {
    folder: PathBuf,
    report: PathBuf,
    files: Vec<String>,
    /// The bytes of finished tensors and headers.
    pub bytes: u64,
}

impl KeptExport {
    /// What an export to `folder` with a report of this name (of the first file, if there are several) has kept. `None` if it
    /// has not finished a tensor, or is still running.
    pub fn find(folder: &Path, report: &str) -> Option<Self> {
        let report = folder.join(report);
        let JournalText { header, records, .. } = JournalText::parse(&read_abandoned_journal(&report)?)?;
        let bytes = records.last()?.done;
        Some(Self { folder: folder.to_owned(), report, files: header.files, bytes })
    }

    /// The bytes that the drafts take on the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.files.iter().map(|name| abandoned_bytes(&self.folder.join(name))).sum()
    }

    /// Removes drafts and journal. One that cannot be removed stays.
    pub fn remove(&self) {
        self.files.iter().for_each(|name| remove_abandoned(&self.folder.join(name)));
        remove_abandoned_journal(&self.report);
    }
}
