//! Folders and files of the local file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::PositionedFile;
use super::atomic_file::StreamedFile;
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
            let metadata = fs::metadata(entry.path())?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(FolderEntry { name, size: metadata.len() });
            }
        }
        Ok(entries)
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

/// A file, with its size when it was opened.
struct LocalFile {
    file: File,
    location: String,
    size: u64,
}

impl LocalFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, location: path.display().to_string(), size })
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
        self.file.read_exact_at(buffer, offset)
    }
}

/// A folder that receives files: each is written under a temporary name, synced, then renamed.
#[derive(Debug)]
pub struct LocalOutput {
    path: PathBuf,
    open: Option<StreamedFile>,
}

impl LocalOutput {
    /// Creates the folder and its parents if they are missing.
    ///
    /// # Errors
    /// [`Error::Write`] when that fails.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|e| Error::write(path.display().to_string(), e))?;
        Ok(Self { path, open: None })
    }

    /// Creates a file that is written at any position.
    pub(crate) fn create_positioned(&self, name: &str, size: u64) -> io::Result<PositionedFile> {
        PositionedFile::create(&self.path.join(name), size)
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
        self.open.take().ok_or_else(no_open_file)?.finish()
    }
}

fn no_open_file() -> io::Error {
    io::Error::other("no file is open")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_visible_only_when_finished() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        out.begin("a", 1).unwrap();
        out.write(b"x").unwrap();
        assert!(!folder.path().join("a").exists());
        out.finish().unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"x");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_dropped_unfinished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        out.begin("a", 1).unwrap();
        out.write(b"x").unwrap();
        drop(out);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn subfolders_are_created() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        out.begin("inner/a", 1).unwrap();
        out.write(b"x").unwrap();
        out.finish().unwrap();
        let inner = LocalFolder::open(folder.path()).unwrap().open("inner/a").unwrap();
        assert_eq!(inner.size(), 1);
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
