//! Writes several files of a local folder at once, at any position.

use std::ops::Range;
use std::sync::Arc;

use super::file_hash::FileHash;
use super::{Sink, WrittenRange};
use crate::error::{Error, Result};
use crate::io::{DraftSync, LocalOutput, PositionedFile};
use crate::plan::{FileLayout, WrittenFile};

/// Files of a local folder, written at any position. Bytes that arrive in the file's order are hashed at once; the rest
/// is read back for the hash.
pub(in crate::export) struct PositionedSink<'a> {
    files: &'a [FileLayout],
    folder: &'a mut LocalOutput,
    open: Vec<OpenFile>,
}

struct OpenFile {
    file: PositionedFile,
    sync: Arc<DraftSync>,
    hash: FileHash,
}

impl<'a> PositionedSink<'a> {
    pub(in crate::export) fn new(files: &'a [FileLayout], folder: &'a mut LocalOutput) -> Result<Self> {
        let open = |layout: &FileLayout| {
            let failed = |e| Error::write(&layout.name, e);
            let file = folder.create_positioned(&layout.name, layout.size()).map_err(failed)?;
            let sync = Arc::new(file.sync_handle().map_err(failed)?);
            let mut open = OpenFile { file, sync, hash: FileHash::default() };
            open.put(0, &layout.header).map_err(failed)?;
            Ok(open)
        };
        let open = files.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { files, folder, open })
    }
}

impl OpenFile {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_at(offset, bytes)?;
        self.hash.put(offset, bytes);
        Ok(())
    }
}

impl Sink for PositionedSink<'_> {
    fn put(&mut self, file: usize, _part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        self.open[file].put(offset, bytes).map_err(|e| Error::write(&self.files[file].name, e))
    }

    fn keep(&mut self, file: usize, range: Range<u64>, checksum: &str) -> Result<bool> {
        let OpenFile { file: draft, hash, .. } = &mut self.open[file];
        let read = |offset, bytes: &mut [u8]| draft.read_at(offset, bytes).map(|()| true);
        hash.keep(range, checksum, read).map_err(|e| Error::write(&self.files[file].name, e))
    }

    fn end_range(&mut self, file: usize, end: u64) -> Result<Option<WrittenRange>> {
        let OpenFile { hash, sync, .. } = &mut self.open[file];
        Ok(Some(WrittenRange { checksum: hash.end_range(end), draft: Arc::clone(sync) }))
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        let mut written = Vec::new();
        for (layout, mut open) in self.files.iter().zip(self.open.drain(..)) {
            let failed = |e| Error::write(&layout.name, e);
            let OpenFile { file, hash, .. } = &mut open;
            let read = |offset, bytes: &mut [u8]| file.read_at(offset, bytes);
            let sha256 = hash.finish(layout.size(), read).map_err(failed)?;
            self.folder.finish_positioned(open.file).map_err(failed)?;
            written.push(WrittenFile { name: layout.name.clone(), size: layout.size(), sha256 });
        }
        Ok(written)
    }
}
