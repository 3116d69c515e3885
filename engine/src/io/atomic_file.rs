//! Files written atomically: under a temporary name beside the destination, synced, then renamed when all files of an
//! export are.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::direct::DirectWriter;
use super::drafts;
use super::flusher::Flusher;
use super::positioned::{read_exact_at, write_all_at};

/// What becomes of drafts.
#[derive(Debug, Clone, Default)]
pub(super) struct DraftRules {
    /// Whether a draft that an earlier run left is gone on with.
    pub(super) adopt: bool,
    /// Whether drafts that are not published stay.
    pub(super) keep: Arc<AtomicBool>,
    /// Whether files that exist are not replaced.
    pub(super) create_new: bool,
}

/// A file has the name of an output, and is not to be replaced: another process wrote it during the export.
#[derive(Debug)]
pub struct FileAppeared {
    /// The path of the file.
    pub path: PathBuf,
}

impl fmt::Display for FileAppeared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} appeared during the export, and was not replaced", self.path.display())
    }
}

impl std::error::Error for FileAppeared {}

/// A file under a temporary name. Removed when dropped before it is published, unless drafts are kept.
#[derive(Debug)]
pub(super) struct PendingFile {
    file: File,
    temporary: PathBuf,
    destination: PathBuf,
    published: bool,
    keep: Arc<AtomicBool>,
    create_new: bool,
}

impl PendingFile {
    /// Creates missing folders of the destination, too. Removes drafts of the same destination that earlier runs left, but
    /// for the one that it goes on with.
    fn create(destination: PathBuf, rules: &DraftRules) -> io::Result<Self> {
        if let Some(folder) = destination.parent() {
            fs::create_dir_all(folder)?;
        }
        let adopted = rules.adopt.then(|| drafts::adopt(&destination)).flatten();
        drafts::remove_abandoned(&destination);
        let (file, temporary) = adopted.map_or_else(|| drafts::create(&destination), Ok)?;
        let (keep, create_new) = (Arc::clone(&rules.keep), rules.create_new);
        Ok(Self { file, temporary, destination, published: false, keep, create_new })
    }

    /// Whether it will have this path.
    pub(super) fn is_for(&self, destination: &Path) -> bool {
        self.destination == destination
    }

    /// Makes the file visible under its name.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        if self.create_new {
            rename_new(&self.temporary, &self.destination)?;
        } else {
            keep_attributes(&self.destination, &self.temporary)?;
            fs::rename(&self.temporary, &self.destination)?;
        }
        self.published = true;
        match self.destination.parent() {
            Some(folder) => sync_folder(folder),
            None => Ok(()),
        }
    }

    /// Makes a draft again of a file that replaced none. One that cannot be renamed stays visible.
    pub(super) fn withdraw(&mut self) {
        if self.create_new && self.published && fs::rename(&self.destination, &self.temporary).is_ok() {
            self.published = false;
        }
    }
}

/// Renames a file to a name that no file has.
///
/// # Errors
/// With [`FileAppeared`] inside when a file has that name, which stays as it is, and when the file cannot be renamed.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = match rename_no_replace(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => rename_by_link(from, to),
        renamed => renamed,
    };
    renamed.map_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return error;
        }
        io::Error::new(error.kind(), FileAppeared { path: to.to_owned() })
    })
}

#[cfg(target_os = "linux")]
fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(not(target_os = "linux"))]
fn rename_no_replace(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The same where system or file system cannot rename without replacing.
fn rename_by_link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // without hard links, a file that appears at this moment is replaced
        Err(_) if to.symlink_metadata().is_err() => fs::rename(from, to),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Gives a draft the mode of the file that it replaces and, as far as the system allows, its owner and group. Nothing to
/// do if there is no such file.
///
/// # Errors
/// When the mode cannot be set.
pub fn keep_attributes(replaced: &Path, draft: &Path) -> io::Result<()> {
    let Ok(before) = fs::metadata(replaced) else { return Ok(()) };
    #[cfg(unix)]
    keep_owner(&before, draft);
    fs::set_permissions(draft, before.permissions())
}

#[cfg(unix)]
fn keep_owner(before: &fs::Metadata, draft: &Path) {
    use std::os::unix::fs::{MetadataExt as _, chown};
    // only root may give a file away; a group needs membership
    if chown(draft, Some(before.uid()), Some(before.gid())).is_err() {
        drop(chown(draft, None, Some(before.gid())));
    }
}

/// Makes the names of a folder's files durable. Windows does that by itself.
///
/// # Errors
/// When that fails.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.published && !self.keep.load(Ordering::Relaxed) {
            // a file that cannot be removed is recognized by its name
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// The bytes of a draft that are in its file, and their way to the disk.
#[derive(Debug)]
pub(crate) struct DraftSync {
    file: File,
    /// Where they are handed to a thread: how many of them it has written.
    written: Option<Arc<AtomicU64>>,
}

impl DraftSync {
    /// Whether the bytes before `end`, which were written, are in the file.
    pub(crate) fn has(&self, end: u64) -> bool {
        self.written.as_ref().is_none_or(|written| written.load(Ordering::Acquire) >= end)
    }

    /// Makes the bytes in the file durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// How bytes are written to the disk.
#[derive(Debug)]
enum WriteMode {
    /// Nothing is written yet.
    Unused,
    Cached(Flusher),
    Direct(DirectWriter),
}

/// A file written sequentially, behind what an earlier run has written.
#[derive(Debug)]
pub(crate) struct StreamedFile {
    mode: WriteMode,
    pending: PendingFile,
    size: u64,
    /// Where writing begins.
    start: u64,
}

impl StreamedFile {
    pub(super) fn create(destination: PathBuf, size: u64, rules: &DraftRules) -> io::Result<Self> {
        let pending = PendingFile::create(destination, rules)?;
        Ok(Self { mode: WriteMode::Unused, pending, size, start: 0 })
    }

    /// Reads what an earlier run has written; `false` if there is less of it.
    pub(crate) fn read_kept(&self, offset: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let end = offset + bytes.len() as u64;
        if !matches!(self.mode, WriteMode::Unused) || self.pending.file.metadata()?.len() < end {
            return Ok(false);
        }
        read_exact_at(&self.pending.file, bytes, offset)?;
        Ok(true)
    }

    /// Keeps the bytes before `end`: writing begins there.
    pub(crate) fn keep_until(&mut self, end: u64) {
        self.start = end;
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let WriteMode::Unused = self.mode {
            self.mode = self.begin()?;
        }
        match &mut self.mode {
            WriteMode::Direct(direct) => direct.write(bytes),
            WriteMode::Cached(flusher) => {
                self.pending.file.write_all(bytes)?;
                flusher.wrote(bytes.len());
                Ok(())
            }
            WriteMode::Unused => Err(io::Error::other("the file is not open for writing")),
        }
    }

    fn begin(&mut self) -> io::Result<WriteMode> {
        let file = &mut self.pending.file;
        file.set_len(self.start)?;
        if let Some(direct) = DirectWriter::start(file, self.size, self.start)? {
            return Ok(WriteMode::Direct(direct));
        }
        file.seek(SeekFrom::Start(self.start))?;
        Ok(WriteMode::Cached(Flusher::new(file)?))
    }

    pub(crate) fn sync_handle(&self) -> io::Result<DraftSync> {
        let written = match &self.mode {
            WriteMode::Direct(direct) => Some(direct.written()),
            WriteMode::Cached(_) | WriteMode::Unused => None,
        };
        Ok(DraftSync { file: self.pending.file.try_clone()?, written })
    }

    /// Makes the bytes durable.
    pub(super) fn finish(self) -> io::Result<PendingFile> {
        match self.mode {
            WriteMode::Direct(direct) => direct.finish(&self.pending.file)?,
            WriteMode::Cached(flusher) => drop(flusher),
            WriteMode::Unused => self.pending.file.set_len(self.start)?,
        }
        self.pending.file.sync_all()?;
        Ok(self.pending)
    }
}

/// A file written at any position.
#[derive(Debug)]
pub(crate) struct PositionedFile {
    flusher: Flusher,
    pending: PendingFile,
}

impl PositionedFile {
    pub(super) fn create(destination: &Path, size: u64, rules: &DraftRules) -> io::Result<Self> {
        let pending = PendingFile::create(destination.to_owned(), rules)?;
        pending.file.set_len(size)?;
        Ok(Self { flusher: Flusher::new(&pending.file)?, pending })
    }

    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.pending.file, bytes, offset)?;
        self.flusher.wrote(bytes.len());
        Ok(())
    }

    pub(crate) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.pending.file, bytes, offset)
    }

    pub(crate) fn sync_handle(&self) -> io::Result<DraftSync> {
        Ok(DraftSync { file: self.pending.file.try_clone()?, written: None })
    }

    /// Makes the bytes durable.
    pub(super) fn finish(self) -> io::Result<PendingFile> {
        drop(self.flusher);
        self.pending.file.sync_all()?;
        Ok(self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_not_that_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for rename in [rename_new, rename_by_link] {
            fs::write(path("draft"), b"new").unwrap();
            fs::write(path("taken"), b"other").unwrap();
            let error = rename(&path("draft"), &path("taken")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(path("taken")).unwrap(), b"other");
            rename(&path("draft"), &path("free")).unwrap();
            assert_eq!(fs::read(path("free")).unwrap(), b"new");
            assert!(!path("draft").exists());
            fs::remove_file(path("free")).unwrap();
        }
    }
}
