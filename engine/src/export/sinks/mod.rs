//! Where the bytes of an export go: files in sequence, to one output or to several, files at any position, or a comparison
//! with files that exist.

mod each;
mod file_hash;
mod positioned;
mod sequential;
mod verify;

pub(super) use each::EachSink;
pub(super) use positioned::PositionedSink;
pub(super) use sequential::SequentialSink;
pub(super) use verify::VerifySink;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::io::DraftSync;
use crate::plan::WrittenFile;

/// A range that a later run can keep.
pub(super) struct WrittenRange {
    /// By which [`Sink::keep`] knows its bytes.
    pub(super) checksum: String,
    pub(super) draft: Arc<DraftSync>,
}

/// Takes the bytes of planned files, chunk by chunk.
pub(super) trait Sink {
    /// Takes bytes of a part, which belong at `offset` of the file.
    fn put(&mut self, file: usize, part: usize, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Keeps a range of a file that an earlier run has written, instead of putting its bytes; `false` if the file has not this
    /// range with this checksum. Ranges are kept before anything is put, in the same order.
    fn keep(&mut self, file: usize, range: Range<u64>, checksum: &str) -> Result<bool> {
        let _ = (file, range, checksum);
        Ok(false)
    }

    /// Ends a range of a file that was put since the last one; `None` if a later run cannot keep it.
    fn end_range(&mut self, file: usize, end: u64) -> Result<Option<WrittenRange>> {
        let _ = (file, end);
        Ok(None)
    }

    /// Completes the files: every chunk has been put or kept.
    fn end(&mut self) -> Result<Vec<WrittenFile>>;
}
