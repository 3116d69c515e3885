//! Writes several files of a local folder at once, at any position.

use sha2::{Digest as _, Sha256};

use super::Sink;
use crate::error::{Error, Result};
use crate::io::{LocalOutput, PositionedFile};
use crate::plan::{FileLayout, WrittenFile};

/// Bytes read back at a time.
const READ_SIZE: u64 = 1 << 20;

/// Files of a local folder, written at any position. Bytes that arrive in the file's order are hashed at once; the rest
/// is read back for the hash.
pub(in crate::export) struct PositionedSink<'a> {
    files: &'a [FileLayout],
    folder: &'a mut LocalOutput,
    open: Vec<OpenFile>,
}

struct OpenFile {
    file: PositionedFile,
    hash: Sha256,
    /// Bytes from the start that are hashed.
    hashed: u64,
}

impl<'a> PositionedSink<'a> {
    pub(in crate::export) fn new(files: &'a [FileLayout], folder: &'a mut LocalOutput) -> Result<Self> {
        let open = |layout: &FileLayout| {
            let failed = |e| Error::write(&layout.name, e);
            let file = folder.create_positioned(&layout.name, layout.size()).map_err(failed)?;
            let mut open = OpenFile { file, hash: Sha256::new(), hashed: 0 };
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
        if offset == self.hashed {
            self.hash.update(bytes);
            self.hashed += bytes.len() as u64;
        }
        Ok(())
    }

    /// The hash of the whole file.
    fn sha256(&mut self, size: u64) -> std::io::Result<String> {
        let mut buffer = vec![0; READ_SIZE.min(size - self.hashed) as usize];
        while self.hashed < size {
            let buffer = &mut buffer[..READ_SIZE.min(size - self.hashed) as usize];
            self.file.read_at(self.hashed, buffer)?;
            self.hash.update(&*buffer);
            self.hashed += buffer.len() as u64;
        }
        Ok(hex::encode(std::mem::take(&mut self.hash).finalize()))
    }
}

impl Sink for PositionedSink<'_> {
    fn put(&mut self, file: usize, _part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        self.open[file].put(offset, bytes).map_err(|e| Error::write(&self.files[file].name, e))
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        let mut written = Vec::new();
        for (layout, mut open) in self.files.iter().zip(self.open.drain(..)) {
            let failed = |e| Error::write(&layout.name, e);
            let sha256 = open.sha256(layout.size()).map_err(failed)?;
            self.folder.finish_positioned(open.file).map_err(failed)?;
            written.push(WrittenFile { name: layout.name.clone(), size: layout.size(), sha256 });
        }
        Ok(written)
    }
}
