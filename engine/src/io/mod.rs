//! Where bytes come from and where they go: positioned reads in, sequential writes of known size out.

mod atomic_file;
mod direct;
mod flusher;
mod hash;
pub(crate) mod json;
mod local;
mod read_whole;

use std::io;
use std::sync::Arc;

pub(crate) use atomic_file::PositionedFile;
pub(crate) use hash::sha256;
pub use local::{LocalFolder, LocalOutput};
pub(crate) use read_whole::{read_optional, read_source};

/// A file that can be read at any position, from many threads at once.
pub trait Source: Send + Sync {
    /// The file's location, for error messages.
    fn location(&self) -> &str;

    /// The file's length in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the bytes cannot be had, all of them: a short read is [`io::ErrorKind::UnexpectedEof`].
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A file in a [`Folder`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// The name in the folder, without a path.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
}

/// A flat set of files: a directory, or the objects under a prefix.
pub trait Folder: Send + Sync {
    /// The folder's location, for error messages.
    fn location(&self) -> &str;

    /// The files in it, without those of folders below it, in any order.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    fn list(&self) -> io::Result<Vec<FolderEntry>>;

    /// Opens one of the listed files, or `folder/file` of a folder below it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file; others when it cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>>;
}

/// A place for finished files, written one after the other, each from its first byte to its last.
///
/// Nothing is visible under a file's name until it is finished, and a file that never is leaves nothing behind:
/// an implementation discards it when it is dropped.
pub trait Output {
    /// Begins a file of exactly `size` bytes.
    ///
    /// # Errors
    /// When the file cannot be begun.
    fn begin(&mut self, name: &str, size: u64) -> io::Result<()>;

    /// Appends to the file begun last.
    ///
    /// # Errors
    /// When the bytes cannot be written, all of them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file begun last durable and visible under its name.
    ///
    /// # Errors
    /// When that fails; then nothing is visible.
    fn finish(&mut self) -> io::Result<()>;
}
