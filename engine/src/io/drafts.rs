//! Drafts: files that are being written, under temporary names beside their destinations. A draft is locked by the process
//! that writes it, so that one without a lock is known to be left by a process that was killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A new draft of `destination`, locked where the file system has locks.
pub(super) fn create(destination: &Path) -> io::Result<(File, PathBuf)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{unique}.part", prefix(destination), std::process::id());
        let path = destination.with_file_name(name);
        let file = match File::options().read(true).write(true).create_new(true).open(&path) {
            // left by a process with the same id
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        let is_locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        // another process may have removed it before it was locked
        if is_locked && is_at(&file, &path) {
            return Ok((file, path));
        }
    }
}

/// A draft of `destination` that no process writes, locked.
pub(super) fn adopt(destination: &Path) -> Option<(File, PathBuf)> {
    abandoned(destination).next()
}

/// Removes drafts of `destination` that no process writes. One that cannot be removed stays.
pub(crate) fn remove_abandoned(destination: &Path) {
    // locked while it is removed
    for (_file, path) in abandoned(destination) {
        drop(fs::remove_file(path));
    }
}

/// The bytes on the disk of those drafts of `destination` that no process writes.
pub(crate) fn abandoned_bytes(destination: &Path) -> u64 {
    abandoned(destination).filter_map(|(file, _)| file.metadata().ok()).map(|about| on_disk(&about)).sum()
}

/// The drafts of `destination` that no process writes, each locked.
fn abandoned(destination: &Path) -> impl Iterator<Item = (File, PathBuf)> {
    let prefix = prefix(destination);
    let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_str().is_some_and(|name| is_draft(name, &prefix)))
        .filter_map(|entry| open_unlocked(entry.path()))
}

fn open_unlocked(path: PathBuf) -> Option<(File, PathBuf)> {
    let file = File::options().read(true).write(true).open(&path).ok()?;
    (file.try_lock().is_ok() && is_at(&file, &path)).then_some((file, path))
}

/// The bytes that a file takes; less than its length if it has holes.
#[cfg(unix)]
fn on_disk(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    about.blocks() * 512
}

#[cfg(not(unix))]
fn on_disk(about: &fs::Metadata) -> u64 {
    about.len()
}

/// Whether `path` still is this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(id).ok() == fs::metadata(path).map(id).ok()
}

/// The same where files have no identity that the standard library reads: no other process makes a file of this name.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// The beginning of a draft's name.
fn prefix(destination: &Path) -> String {
    // a draft's name is longer than its destination's, and a file system has names of at most 255 bytes
    const MOST: usize = 200;
    let name = destination.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", &name[..name.floor_char_boundary(MOST)])
}

/// `<prefix><process>-<number>.part`.
fn is_draft(name: &str, prefix: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name.strip_prefix(prefix)
        .and_then(|name| name.strip_suffix(".part")?.split_once('-'))
        .is_some_and(|(process, number)| is_number(process) && is_number(number))
}
