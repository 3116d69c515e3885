//! Writes files one after the other.

use std::io;

use sha2::{Digest as _, Sha256};

use super::Sink;
use crate::error::{Error, Result};
use crate::io::Output;
use crate::plan::{FileLayout, WrittenFile};

/// Files written one after the other, hashed as they are.
pub(in crate::export) struct SequentialSink<'a> {
    output: &'a mut dyn Output,
    files: &'a [FileLayout],
    hash: Sha256,
    /// The bytes of the open file so far.
    position: u64,
    /// The number of files begun; all but the last are finished.
    begun: usize,
    written: Vec<WrittenFile>,
}

impl<'a> SequentialSink<'a> {
    pub(in crate::export) fn new(files: &'a [FileLayout], output: &'a mut dyn Output) -> Self {
        Self { output, files, hash: Sha256::new(), position: 0, begun: 0, written: Vec::new() }
    }

    /// Finishes the open file, if any, and begins the next, if any.
    fn advance(&mut self) -> Result<()> {
        if let Some(open) = self.begun.checked_sub(1).and_then(|i| self.files.get(i)) {
            self.output.finish().map_err(|e| Error::write(&open.name, e))?;
            let sha256 = hex::encode(std::mem::take(&mut self.hash).finalize());
            self.written.push(WrittenFile { name: open.name.clone(), size: open.size(), sha256 });
        }
        self.begun += 1;
        self.position = 0;
        let Some(next) = self.files.get(self.begun - 1) else { return Ok(()) };
        self.output.begin(&next.name, next.size()).map_err(|e| Error::write(&next.name, e))?;
        self.append(&next.header)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let name = &self.files[self.begun - 1].name;
        self.output.write(bytes).map_err(|e| Error::write(name, e))?;
        self.hash.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }
}

impl Sink for SequentialSink<'_> {
    fn put(&mut self, file: usize, _part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        while self.begun <= file {
            self.advance()?;
        }
        if (self.begun, self.position) != (file + 1, offset) {
            let error = io::Error::other("its parts came in another order than the file's");
            return Err(Error::write(&self.files[file].name, error));
        }
        self.append(bytes)
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        while self.begun <= self.files.len() {
            self.advance()?;
        }
        Ok(std::mem::take(&mut self.written))
    }
}
