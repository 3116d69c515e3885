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

/// Removes drafts of `destination` that no process writes. One that cannot be removed stays.
pub(super) fn remove_abandoned(destination: &Path) {
    let prefix = prefix(destination);
    let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty());
    for entry in fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| is_draft(name, &prefix)) {
            remove_if_unlocked(&entry.path());
        }
    }
}

fn remove_if_unlocked(path: &Path) {
    if let Ok(file) = File::options().write(true).open(path)
        && file.try_lock().is_ok()
        && is_at(&file, path)
    {
        drop(fs::remove_file(path));
    }
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
