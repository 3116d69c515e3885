//! Files written to a folder of the local file system.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Output;
use super::atomic_file::{DraftRules, PendingFile, PositionedFile, StreamedFile};
use super::drafts;
use super::journal_file::JournalFile;
use crate::error::{Error, Result};

/// A file cannot be created or written in a folder.
#[derive(Debug)]
pub struct ErrorInFolder {
    /// The path of the folder.
    pub folder: PathBuf,
    /// The error of the file system.
    pub error: io::Error,
}

impl fmt::Display for ErrorInFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {}: {}", self.folder.display(), self.error)
    }
}

impl std::error::Error for ErrorInFolder {}

/// A folder that receives files: each is written under a temporary name and synced, and all are renamed at the end. A
/// process that is killed leaves no file without a report that lists it.
#[derive(Debug)]
pub struct LocalOutput {
    path: PathBuf,
    /// Whether exports have a journal.
    journals: bool,
    rules: DraftRules,
    journal: Option<Arc<JournalFile>>,
    open: Option<StreamedFile>,
    finished: Vec<PendingFile>,
    /// The reports of files that wait for [`publish_deferred`](Self::publish_deferred).
    deferred: Option<Vec<String>>,
}

impl LocalOutput {
    /// Creates the folder and its parents if they are missing.
    ///
    /// # Errors
    /// [`Error::Write`] when that fails.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|e| Error::write(path.display().to_string(), e))?;
        let (rules, journal, open) = (DraftRules::default(), None, None);
        Ok(Self { path, journals: false, rules, journal, open, finished: Vec::new(), deferred: None })
    }

    /// Keeps the drafts of an export that fails, for a later run to go on with: unless it fails by what its inputs contain,
    /// or has not written a whole tensor. With `resume` it goes on with what an earlier run has kept. For one export.
    #[must_use]
    pub fn resumable(self, resume: bool) -> Self {
        let rules = DraftRules { adopt: resume, ..self.rules };
        Self { journals: true, rules, ..self }
    }

    /// With `create_new`, a file that has the name of an output when this is published is not replaced: publishing fails with
    /// [`FileAppeared`](crate::FileAppeared), and shows none of the files.
    #[must_use]
    pub fn create_new(self, create_new: bool) -> Self {
        Self { rules: DraftRules { create_new, ..self.rules }, ..self }
    }

    /// Drafts are removed when this is dropped, and not kept for a later run.
    pub fn discard(&self) {
        self.journal.iter().for_each(|journal| journal.discard_drafts());
    }

    /// Publishes nothing before [`publish_deferred`](Self::publish_deferred), so that several exports become visible
    /// together.
    #[must_use]
    pub fn deferred(self) -> Self {
        Self { deferred: Some(Vec::new()), ..self }
    }

    /// Makes the files visible whose publication was deferred.
    ///
    /// # Errors
    /// [`Error::Write`] when that fails; some files may be visible then.
    pub fn publish_deferred(mut self) -> Result<()> {
        let reports = self.deferred.take().unwrap_or_default();
        let names: Vec<&str> = reports.iter().map(String::as_str).collect();
        self.publish(&names).map_err(|e| Error::write(self.path.display().to_string(), e))
    }

    /// The journal of an export with this report, and the text that it had if an earlier run is gone on with. `None` if the
    /// output is not [`resumable`](Self::resumable).
    pub(crate) fn open_journal(
        &mut self,
        report: &str,
    ) -> io::Result<Option<(Arc<JournalFile>, Option<String>)>> {
        if !self.journals {
            return Ok(None);
        }
        let opened = JournalFile::open(&self.path.join(report), &self.rules);
        let (journal, text) = opened.map_err(|error| self.in_folder(error))?;
        let journal = Arc::new(journal);
        self.journal = Some(Arc::clone(&journal));
        Ok(Some((journal, text)))
    }

    /// Whether an earlier run is gone on with.
    pub(crate) fn resumes(&self) -> bool {
        self.rules.adopt
    }

    /// Goes on with no draft of an earlier run, and removes its drafts of these files.
    pub(crate) fn start_over<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.rules.adopt = false;
        names.into_iter().for_each(|name| drafts::remove_abandoned(&self.path.join(name)));
    }

    /// Creates a file that is written at any position.
    pub(crate) fn create_positioned(&self, name: &str, size: u64) -> io::Result<PositionedFile> {
        PositionedFile::create(&self.path.join(name), size, &self.rules)
            .map_err(|error| self.in_folder(error))
    }

    /// An error about a file that cannot be created or written, with the folder, which its name lacks.
    fn in_folder(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), ErrorInFolder { folder: self.path.clone(), error })
    }

    /// The file that is being written.
    pub(crate) fn open_file(&mut self) -> Option<&mut StreamedFile> {
        self.open.as_mut()
    }

    /// Makes such a file durable.
    pub(crate) fn finish_positioned(&mut self, file: PositionedFile) -> io::Result<()> {
        self.finished.push(file.finish().map_err(|error| self.in_folder(error))?);
        Ok(())
    }
}

impl Output for LocalOutput {
    fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        let created = StreamedFile::create(self.path.join(name), size, &self.rules);
        self.open = Some(created.map_err(|error| self.in_folder(error))?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.open.as_mut().ok_or_else(no_open_file)?.write(bytes);
        written.map_err(|error| self.in_folder(error))
    }

    fn finish(&mut self) -> io::Result<()> {
        let finished = self.open.take().ok_or_else(no_open_file)?.finish();
        self.finished.push(finished.map_err(|error| self.in_folder(error))?);
        Ok(())
    }

    fn publish(&mut self, reports: &[&str]) -> io::Result<()> {
        if let Some(deferred) = &mut self.deferred {
            deferred.extend(reports.iter().map(|&name| name.to_owned()));
            return Ok(());
        }
        let reports: Vec<PathBuf> = reports.iter().map(|name| self.path.join(name)).collect();
        let is_report = |file: &PendingFile| reports.iter().any(|report| file.is_for(report));
        let (first, others): (Vec<_>, Vec<_>) = self.finished.drain(..).partition(is_report);
        let mut files: Vec<PendingFile> = first.into_iter().chain(others).collect();
        if let Err(error) = files.iter_mut().try_for_each(PendingFile::publish) {
            files.iter_mut().rev().for_each(PendingFile::withdraw);
            return Err(error);
        }
        self.discard();
        self.journal = None;
        Ok(())
    }

    fn local(&mut self) -> Option<&mut LocalOutput> {
        Some(self)
    }
}

fn no_open_file() -> io::Error {
    io::Error::other("no file is open")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Folder as _, LocalFolder};

    #[test]
    fn a_file_is_visible_only_when_published() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        out.begin("a", 1).unwrap();
        out.write(b"x").unwrap();
        assert!(!folder.path().join("a").exists());
        out.finish().unwrap();
        assert!(!folder.path().join("a").exists());
        out.publish(&[]).unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"x");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_created_is_named_with_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        fs::write(folder.path().join("a"), b"x").unwrap();
        let error = out.begin("a/b", 1).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
    }

    #[test]
    fn deferred_files_are_visible_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap().deferred();
        for name in ["a", "b"] {
            out.begin(name, 1).unwrap();
            out.write(b"x").unwrap();
            out.finish().unwrap();
            out.publish(&[name]).unwrap();
        }
        assert!(!folder.path().join("a").exists());
        out.publish_deferred().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn reports_are_visible_before_what_they_list() {
        let folder = tempfile::tempdir().unwrap();
        // a folder cannot be replaced by a file, so that the second file stays unpublished
        fs::create_dir(folder.path().join("a")).unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        for name in ["a", "b", "report"] {
            out.begin(name, 1).unwrap();
            out.write(b"x").unwrap();
            out.finish().unwrap();
        }
        assert!(out.publish(&["report"]).is_err());
        drop(out);
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "report"]);
    }

    #[test]
    fn a_file_that_appears_stays_and_no_other_becomes_visible() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap().create_new(true);
        for name in ["a", "b", "report"] {
            out.begin(name, 1).unwrap();
            out.write(b"x").unwrap();
            out.finish().unwrap();
        }
        fs::write(folder.path().join("b"), b"other").unwrap();
        let error = out.publish(&["report"]).unwrap_err();
        let appeared = error.get_ref().and_then(|inner| inner.downcast_ref::<crate::FileAppeared>());
        assert_eq!(appeared.unwrap().path, folder.path().join("b"));
        drop(out);
        assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"other");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_are_dropped_unpublished_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        for name in ["a", "b"] {
            out.begin(name, 1).unwrap();
            out.write(b"x").unwrap();
            out.finish().unwrap();
        }
        out.begin("c", 1).unwrap();
        out.write(b"x").unwrap();
        drop(out);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_draft_of_a_killed_run_is_removed_and_that_of_a_running_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (killed, other) = (folder.path().join(".a.4194305-0.part"), folder.path().join(".ab.1-0.part"));
        fs::write(&killed, b"x").unwrap();
        fs::write(&other, b"x").unwrap();
        let mut running = LocalOutput::create(folder.path()).unwrap();
        running.begin("a", 1).unwrap();
        assert!(!killed.exists() && other.exists());
        let mut next = LocalOutput::create(folder.path()).unwrap();
        next.begin("a", 1).unwrap();
        running.write(b"1").unwrap();
        running.finish().unwrap();
        running.publish(&[]).unwrap();
        next.write(b"2").unwrap();
        next.finish().unwrap();
        next.publish(&[]).unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_name_may_be_as_long_as_the_file_system_allows() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        let name = "\u{e9}".repeat(127);
        out.begin(&name, 1).unwrap();
        out.write(b"x").unwrap();
        out.finish().unwrap();
        out.publish(&[]).unwrap();
        assert!(folder.path().join(name).exists());
    }

    #[test]
    fn subfolders_are_created() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        out.begin("inner/a", 1).unwrap();
        out.write(b"x").unwrap();
        out.finish().unwrap();
        out.publish(&[]).unwrap();
        let inner = LocalFolder::open(folder.path()).unwrap().open("inner/a").unwrap();
        assert_eq!(inner.size(), 1);
    }
}
