//! Where the bytes of an export go: files in sequence, to one output or to several, files at any position, or a comparison
//! with files that exist.

mod each;
mod positioned;
mod sequential;
mod verify;

pub(super) use each::EachSink;
pub(super) use positioned::PositionedSink;
pub(super) use sequential::SequentialSink;
pub use verify::Difference;
pub(super) use verify::VerifySink;

use crate::error::Result;
use crate::plan::WrittenFile;

/// Takes the bytes of planned files, chunk by chunk.
pub(super) trait Sink {
    /// Takes bytes of a part, which belong at `offset` of the file.
    fn put(&mut self, file: usize, part: usize, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Completes the files: every chunk has been put.
    fn end(&mut self) -> Result<Vec<WrittenFile>>;
}
