//! Folders and files of the local file system.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::pinned::changed;
use super::positioned::read_exact_at;
use super::{Folder, FolderEntry, Source};
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
                Ok(metadata) if metadata.is_dir() => continue,
                // opening it fails and says what it is: a named pipe, or a link with its target
                Ok(_) => 0,
                Err(_) if entry.path().is_symlink() => 0,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) => continue,
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

/// What tells a file from another of the same path, where the system has it.
#[cfg(unix)]
fn identity(file: &File) -> String {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().map(|about| format!("inode {}, ", about.ino())).unwrap_or_default()
}

#[cfg(not(unix))]
fn identity(_file: &File) -> String {
    String::new()
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

    fn version(&self) -> Option<String> {
        let modified = self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(format!("{}changed {}.{:09}", identity(&self.file), modified.as_secs(), modified.subsec_nanos()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_no_regular_file_is_listed_and_named_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("weights")).unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let folder = LocalFolder::open(folder.path()).unwrap();
        assert_eq!(folder.list().unwrap(), [FolderEntry { name: "weights".to_owned(), size: 0 }]);
        let error = Folder::open(&folder, "weights").err().unwrap();
        assert!(error.to_string().contains("not a regular file"), "{error}");
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
