//! Writes files one after the other.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::file_hash::FileHash;
use super::{Sink, WrittenRange};
use crate::error::{Error, Result};
use crate::io::{DraftSync, LocalOutput, Output};
use crate::plan::{FileLayout, WrittenFile};

/// Files written one after the other, hashed as they are.
pub(in crate::export) struct SequentialSink<'a> {
    output: &'a mut dyn Output,
    files: &'a [FileLayout],
    /// Of the open file, up to where it is written.
    hash: FileHash,
    /// The draft of the open file, once it was asked for.
    draft: Option<Arc<DraftSync>>,
    /// The number of files begun; all but the last are finished.
    begun: usize,
    written: Vec<WrittenFile>,
}

impl<'a> SequentialSink<'a> {
    pub(in crate::export) fn new(files: &'a [FileLayout], output: &'a mut dyn Output) -> Self {
        Self { output, files, hash: FileHash::default(), draft: None, begun: 0, written: Vec::new() }
    }

    /// Finishes the open file, if any, and begins the next, if any.
    fn advance(&mut self) -> Result<()> {
        if let Some(open) = self.begun.checked_sub(1).and_then(|i| self.files.get(i)) {
            self.output.finish().map_err(|e| Error::write(&open.name, e))?;
            let unread = |_, _: &mut [u8]| Err(io::Error::other("a part of it is missing"));
            let sha256 = self.hash.finish(open.size(), unread).map_err(|e| Error::write(&open.name, e))?;
            self.written.push(WrittenFile { name: open.name.clone(), size: open.size(), sha256 });
        }
        self.begun += 1;
        self.draft = None;
        let Some(next) = self.files.get(self.begun - 1) else { return Ok(()) };
        self.output.begin(&next.name, next.size()).map_err(|e| Error::write(&next.name, e))?;
        if !self.keep_header(&next.header).map_err(|e| Error::write(&next.name, e))? {
            self.append(&next.header)?;
        }
        Ok(())
    }

    /// Keeps the header that an earlier run has written, if it is this one.
    fn keep_header(&mut self, header: &[u8]) -> io::Result<bool> {
        let Some(open) = self.output.local().and_then(LocalOutput::open_file) else { return Ok(false) };
        let mut kept = vec![0; header.len()];
        let is_kept = open.read_kept(0, &mut kept)? && kept == header;
        if is_kept {
            open.keep_until(header.len() as u64);
            self.hash.put(0, header);
        }
        Ok(is_kept)
    }

    /// Keeps the next bytes of the open file, if they have this checksum.
    fn keep_range(&mut self, range: Range<u64>, checksum: &str) -> io::Result<bool> {
        let Some(open) = self.output.local().and_then(LocalOutput::open_file) else { return Ok(false) };
        let end = range.end;
        let read = |offset, bytes: &mut [u8]| open.read_kept(offset, bytes);
        let is_kept = self.hash.keep(range, checksum, read)?;
        if is_kept {
            open.keep_until(end);
        }
        Ok(is_kept)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let name = &self.files[self.begun - 1].name;
        self.output.write(bytes).map_err(|e| Error::write(name, e))?;
        self.hash.put(self.hash.hashed(), bytes);
        Ok(())
    }
}

impl Sink for SequentialSink<'_> {
    fn put(&mut self, file: usize, _part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        while self.begun <= file {
            self.advance()?;
        }
        if (self.begun, self.hash.hashed()) != (file + 1, offset) {
            let error = io::Error::other("its parts came in another order than the file's");
            return Err(Error::write(&self.files[file].name, error));
        }
        self.append(bytes)
    }

    fn keep(&mut self, file: usize, range: Range<u64>, checksum: &str) -> Result<bool> {
        while self.begun <= file {
            self.advance()?;
        }
        if (self.begun, self.hash.hashed()) != (file + 1, range.start) {
            return Ok(false);
        }
        self.keep_range(range, checksum).map_err(|e| Error::write(&self.files[file].name, e))
    }

    fn end_range(&mut self, file: usize, end: u64) -> Result<Option<WrittenRange>> {
        if self.draft.is_none()
            && let Some(open) = self.output.local().and_then(LocalOutput::open_file)
        {
            let draft = open.sync_handle().map_err(|e| Error::write(&self.files[file].name, e))?;
            self.draft = Some(Arc::new(draft));
        }
        let Some(draft) = self.draft.clone() else { return Ok(None) };
        Ok(Some(WrittenRange { checksum: self.hash.end_range(end), draft }))
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        while self.begun <= self.files.len() {
            self.advance()?;
        }
        Ok(std::mem::take(&mut self.written))
    }
}
