//! A file of lines beside drafts, which tells a later run what they have. It is a draft itself: locked while it is written,
//! and never published.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::atomic_file::DraftRules;
use super::drafts;
use super::positioned::read_exact_at;

/// The journal of the drafts of one output. Removed when dropped, unless drafts are kept.
#[derive(Debug)]
pub(crate) struct JournalFile {
    file: File,
    path: PathBuf,
    keep: Arc<AtomicBool>,
}

impl JournalFile {
    /// The journal named after a report. With the text of an earlier run, if its drafts are adopted and it kept any.
    pub(super) fn open(report: &Path, rules: &DraftRules) -> io::Result<(Self, Option<String>)> {
        let destination = destination(report);
        let adopted = rules.adopt.then(|| drafts::adopt(&destination)).flatten();
        drafts::remove_abandoned(&destination);
        let text = adopted.as_ref().map(|(file, _)| read(file)).transpose()?;
        let (file, path) = adopted.map_or_else(|| drafts::create(&destination), Ok)?;
        Ok((Self { file, path, keep: Arc::clone(&rules.keep) }, text))
    }

    /// Replaces the text by a first line, which is durable with the next.
    pub(crate) fn start(&self, line: &str) -> io::Result<()> {
        self.cut(0)?;
        (&self.file).write_all(line.as_bytes())
    }

    /// Cuts the text behind `length` bytes, and appends there from now on.
    pub(crate) fn cut(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        (&self.file).seek(SeekFrom::Start(length)).map(|_| ())
    }

    /// Appends lines and makes them durable.
    pub(crate) fn append(&self, lines: &str) -> io::Result<()> {
        (&self.file).write_all(lines.as_bytes())?;
        self.file.sync_data()
    }

    /// From now on, drafts that are not published stay.
    pub(crate) fn keep_drafts(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// From now on, drafts that are not published are removed.
    pub(crate) fn discard_drafts(&self) {
        self.keep.store(false, Ordering::Relaxed);
    }
}

impl Drop for JournalFile {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Relaxed) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The text of a journal that an earlier run left; `None` if there is none, or its process is still running.
pub(crate) fn read_abandoned(report: &Path) -> Option<String> {
    read(&drafts::adopt(&destination(report))?.0).ok()
}

/// Removes a journal that an earlier run left.
pub(crate) fn remove_abandoned(report: &Path) {
    drafts::remove_abandoned(&destination(report));
}

/// The text; bytes that are no text end it.
fn read(file: &File) -> io::Result<String> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    read_exact_at(file, &mut bytes, 0)?;
    let valid = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    bytes.truncate(valid);
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// The path whose draft the journal is. Of long names, drafts have only the first characters.
fn destination(report: &Path) -> PathBuf {
    let mut name = OsString::from("journal.");
    name.push(report.file_name().unwrap_or_default());
    report.with_file_name(name)
}
