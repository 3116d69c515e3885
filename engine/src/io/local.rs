//! Folders and files of the local file system.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::PositionedFile;
use super::atomic_file::{PendingFile, StreamedFile};
use super::pinned::changed;
use super::positioned::read_exact_at;
use super::{Folder, FolderEntry, Output, Source};
use crate::error::{Error, Result};

/// A folder of the local file system.
#[derive(Debug, Clone)]
pub struct LocalFolder {
    path: PathBuf,
    location: String,
}

impl LocalFolder {
    /// # Errors
    /// [`Error::Read`] when `path` is not a directory that can be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let location = path.display().to_string();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self { path, location }),
            Ok(_) => Err(Error::read(location, io::Error::from(io::ErrorKind::NotADirectory))),
            Err(error) => Err(Error::read(location, error)),
        }
    }
}

impl Folder for LocalFolder {
    fn location(&self) -> &str {
        &self.location
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // follows symbolic links: a Hub cache consists of them
            let size = match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => metadata.len(),
                // opening it fails with the link's target
                Err(_) if entry.path().is_symlink() => 0,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => continue,
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(FolderEntry { name, size });
            }
        }
        Ok(entries)
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        let path = self.path.join(subfolder);
        if !path.is_dir() {
            return Ok(Vec::new());
        }
        let inner = Self { location: path.display().to_string(), path };
        Ok(inner.list()?.into_iter().map(|entry| format!("{subfolder}/{}", entry.name)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        // a file of a subfolder is named with its path
        let is_plain = |part: &str| !(part.is_empty() || part.contains('\\') || part == "." || part == "..");
        if !name.split('/').all(is_plain) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not a file name")));
        }
        Ok(Arc::new(LocalFile::open(&self.path.join(name))?))
    }
}

/// A file, with its size and its time of change when it was opened.
struct LocalFile {
    file: File,
    location: String,
    size: u64,
    modified: Option<SystemTime>,
}

impl LocalFile {
    fn open(path: &Path) -> io::Result<Self> {
        // opening a named pipe would wait for a writer
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::other(
                "it is not a regular file: put a file of this name there, or remove it",
            ));
        }
        let file = File::open(path).map_err(|error| broken_link(path, error))?;
        let metadata = file.metadata()?;
        let (size, modified) = (metadata.len(), metadata.modified().ok());
        Ok(Self { file, location: path.display().to_string(), size, modified })
    }
}

/// The error for a symbolic link that leads to no file; otherwise `error`. It is not [`io::ErrorKind::NotFound`]: a file
/// that a folder names but cannot be read is not a file that the folder lacks.
fn broken_link(path: &Path, error: io::Error) -> io::Error {
    match fs::read_link(path) {
        Ok(target) => io::Error::other(format!(
            "it is a link to {}, which cannot be opened ({error}): download the file again, or remove the link",
            target.display()
        )),
        Err(_) => error,
    }
}

impl Source for LocalFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let read = read_exact_at(&self.file, buffer, offset);
        let metadata = self.file.metadata()?;
        if (metadata.len(), metadata.modified().ok()) != (self.size, self.modified) {
            return Err(changed());
        }
        read
    }
}

/// A folder that receives files: each is written under a temporary name and synced, and all are renamed at the end. A
/// process that is killed leaves no file without a report that lists it.
#[derive(Debug)]
pub struct LocalOutput {
    path: PathBuf,
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
        Ok(Self { path, open: None, finished: Vec::new(), deferred: None })
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

    /// Creates a file that is written at any position.
    pub(crate) fn create_positioned(&self, name: &str, size: u64) -> io::Result<PositionedFile> {
        PositionedFile::create(&self.path.join(name), size)
    }

    /// Makes such a file durable.
    pub(crate) fn finish_positioned(&mut self, file: PositionedFile) -> io::Result<()> {
        self.finished.push(file.finish()?);
        Ok(())
    }
}

impl Output for LocalOutput {
    fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.open = Some(StreamedFile::create(self.path.join(name), size)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.as_mut().ok_or_else(no_open_file)?.write(bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished.push(self.open.take().ok_or_else(no_open_file)?.finish()?);
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
        first.into_iter().chain(others).try_for_each(PendingFile::publish)
    }
}

fn no_open_file() -> io::Error {
    io::Error::other("no file is open")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_that_is_changed_in_place_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"before").unwrap();
        let opened = LocalFolder::open(folder.path()).unwrap().open("a").unwrap();
        let mut bytes = [0; 6];
        opened.read_at(0, &mut bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        crate::io::positioned::write_all_at(&file, b"other!", 0).unwrap();
        file.set_modified(SystemTime::now() + std::time::Duration::from_secs(1)).unwrap();
        let error = opened.read_at(0, &mut bytes).unwrap_err();
        assert!(error.to_string().contains("changed while it was being read"), "{error}");
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

    #[test]
    fn a_dangling_link_is_listed_and_named_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../../blobs/0123", folder.path().join("README.md")).unwrap();
        fs::write(folder.path().join("a"), b"xy").unwrap();
        let folder = LocalFolder::open(folder.path()).unwrap();
        let mut entries = folder.list().unwrap();
        entries.sort();
        let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.size)).collect();
        assert_eq!(names, [("README.md", 0), ("a", 2)]);
        let error = Folder::open(&folder, "README.md").err().unwrap();
        assert_ne!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("a link to ../../blobs/0123"), "{error}");
    }

    #[test]
    fn a_name_outside_the_folder_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("secret"), b"x").unwrap();
        let inner = LocalFolder::open(folder.path().join("inner")).unwrap();
        assert!(Folder::open(&inner, "../secret").is_err());
    }
}
