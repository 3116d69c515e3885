//! Inputs and outputs: positioned reads, and sequential writes of known size.

mod atomic_file;
mod direct;
mod discard;
mod drafts;
mod edited_folder;
mod flusher;
mod hash;
mod journal_file;
pub(crate) mod json;
mod lfs_pointer;
mod local;
mod local_output;
mod opened_once;
mod pinned;
mod positioned;
mod read_whole;
mod shared_reads;

use std::io;
use std::sync::Arc;

pub(crate) use atomic_file::{DraftSync, PositionedFile};
pub use atomic_file::{FileAppeared, keep_attributes, rename_new, sync_folder};
pub use discard::Discard;
pub(crate) use drafts::{abandoned_bytes, remove_abandoned};
pub(crate) use edited_folder::EditedFolder;
pub(crate) use hash::sha256;
pub(crate) use journal_file::{
    JournalFile, read_abandoned as read_abandoned_journal, remove_abandoned as remove_abandoned_journal,
};
pub use lfs_pointer::refuse_lfs_pointer;
pub use local::LocalFolder;
pub use local_output::{ErrorInFolder, LocalOutput};
pub use opened_once::OpenedOnce;
pub(crate) use pinned::pin;
pub(crate) use read_whole::{read_optional, read_source};
pub(crate) use shared_reads::SharedReads;

/// A file that can be read at any position by several threads at once.
pub trait Source: Send + Sync {
    /// The file's location, for error messages.
    fn location(&self) -> &str;

    /// The file's length in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When not all bytes can be read: a short read is [`io::ErrorKind::UnexpectedEof`].
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// What changes whenever the file's content does: a commit, a generation, an entity tag, or inode and time of change. `None`
    /// if there is no such thing.
    fn version(&self) -> Option<String> {
        None
    }

    /// The SHA-256 of the bytes that were read, in lower-case hex, if the file was read in one piece and the source keeps
    /// its hash.
    fn read_sha256(&self) -> Option<String> {
        None
    }
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

    /// The commit of the repository whose files these are, if it is known.
    fn revision(&self) -> Option<&str> {
        None
    }

    /// The files of the folder without its subfolders, in any order.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    fn list(&self) -> io::Result<Vec<FolderEntry>>;

    /// The names of the files in a subfolder as [`open`](Self::open) takes them, `subfolder/name`, in any order; none if
    /// there is no such subfolder.
    ///
    /// # Errors
    /// When the subfolder cannot be listed.
    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>>;

    /// Opens a file, by its name or by `subfolder/name`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file; others when it cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>>;
}

/// Whether a path is `subfolder/name`, for implementations of [`Folder::list_subfolder`].
#[must_use]
pub fn is_directly_in(path: &str, subfolder: &str) -> bool {
    let name = path.strip_prefix(subfolder).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.contains('/'))
}

/// A destination of files, which are written one after the other, each sequentially.
///
/// A file is visible under its name only when it is finished, or later. An implementation discards a file that is not
/// visible when it is dropped.
pub trait Output {
    /// Begins a file of exactly `size` bytes.
    ///
    /// # Errors
    /// When the file cannot be created.
    fn begin(&mut self, name: &str, size: u64) -> io::Result<()>;

    /// Appends to the current file.
    ///
    /// # Errors
    /// When not all bytes can be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the current file durable.
    ///
    /// # Errors
    /// When that fails; the file is then not visible.
    fn finish(&mut self) -> io::Result<()>;

    /// Makes the files visible that were finished and are not yet: first these reports, so that a report lists every file
    /// that can be seen, then the other files in their order.
    ///
    /// # Errors
    /// When that fails; some files may be visible then.
    fn publish(&mut self, reports: &[&str]) -> io::Result<()> {
        let _ = reports;
        Ok(())
    }

    /// This output, if it is one that can keep drafts for a later run.
    fn local(&mut self) -> Option<&mut LocalOutput> {
        None
    }
}
