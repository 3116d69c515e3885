//! Files written atomically: under a temporary name beside the destination, synced, then renamed when all files of an
//! export are.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::direct::DirectWriter;
use super::drafts;
use super::flusher::Flusher;
use super::positioned::{read_exact_at, write_all_at};

/// A file under a temporary name. Removed when dropped before it is published.
#[derive(Debug)]
pub(super) struct PendingFile {
    file: File,
    temporary: PathBuf,
    destination: PathBuf,
    published: bool,
}

impl PendingFile {
    /// Creates missing folders of the destination, too. Removes drafts of the same destination that killed processes left.
    fn create(destination: PathBuf) -> io::Result<Self> {
        if let Some(folder) = destination.parent() {
            fs::create_dir_all(folder)?;
        }
        drafts::remove_abandoned(&destination);
        let (file, temporary) = drafts::create(&destination)?;
        Ok(Self { file, temporary, destination, published: false })
    }

    /// Whether it will have this path.
    pub(super) fn is_for(&self, destination: &Path) -> bool {
        self.destination == destination
    }

    /// Makes the file visible under its name.
    pub(super) fn publish(mut self) -> io::Result<()> {
        keep_attributes(&self.destination, &self.temporary)?;
        fs::rename(&self.temporary, &self.destination)?;
        self.published = true;
        match self.destination.parent() {
            Some(folder) => sync_folder(folder),
            None => Ok(()),
        }
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
        if !self.published {
            // a file that cannot be removed is recognized by its name
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// How bytes are written to the disk.
#[derive(Debug)]
enum WriteMode {
    Cached(Flusher),
    Direct(DirectWriter),
}

/// A file written sequentially.
#[derive(Debug)]
pub(super) struct StreamedFile {
    mode: WriteMode,
    pending: PendingFile,
}

impl StreamedFile {
    pub(super) fn create(destination: PathBuf, size: u64) -> io::Result<Self> {
        let pending = PendingFile::create(destination)?;
        let mode = match DirectWriter::start(&pending.file, size)? {
            Some(direct) => WriteMode::Direct(direct),
            None => WriteMode::Cached(Flusher::new(&pending.file)?),
        };
        Ok(Self { mode, pending })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.mode {
            WriteMode::Direct(direct) => direct.write(bytes),
            WriteMode::Cached(flusher) => {
                self.pending.file.write_all(bytes)?;
                flusher.wrote(bytes.len());
                Ok(())
            }
        }
    }

    /// Makes the bytes durable.
    pub(super) fn finish(self) -> io::Result<PendingFile> {
        match self.mode {
            WriteMode::Direct(direct) => direct.finish(&self.pending.file)?,
            WriteMode::Cached(flusher) => drop(flusher),
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
    pub(super) fn create(destination: &Path, size: u64) -> io::Result<Self> {
        let pending = PendingFile::create(destination.to_owned())?;
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

    /// Makes the bytes durable.
    pub(super) fn finish(self) -> io::Result<PendingFile> {
        drop(self.flusher);
        self.pending.file.sync_all()?;
        Ok(self.pending)
    }
}
