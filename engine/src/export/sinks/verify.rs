//! Compares the expected bytes with files that exist, and writes nothing.

use sha2::{Digest as _, Sha256};

use super::Sink;
use crate::error::Result;
use crate::export::compared_file::{ComparedFile, Difference};
use crate::io::Folder;
use crate::plan::{FileLayout, WrittenFile};

/// Compares every chunk with the bytes at its offset.
pub(in crate::export) struct VerifySink<'a> {
    files: &'a [FileLayout],
    compared: Vec<ComparedParts>,
}

/// A file being compared part by part, and the hash of its expected content.
struct ComparedParts {
    file: ComparedFile,
    /// The part that is compared.
    part: usize,
    hash: Sha256,
}

impl<'a> VerifySink<'a> {
    pub(in crate::export) fn new(files: &'a [FileLayout], folder: &dyn Folder) -> Result<Self> {
        let open = |layout: &FileLayout| {
            let mut file = ComparedFile::open(folder, &layout.name, layout.size())?;
            file.header(&layout.header)?;
            let mut hash = Sha256::new();
            hash.update(&layout.header);
            Ok(ComparedParts { file, part: 0, hash })
        };
        Ok(Self { files, compared: files.iter().map(open).collect::<Result<_>>()? })
    }

    pub(in crate::export) fn differences(self) -> Vec<Difference> {
        self.compared.into_iter().flat_map(|compared| compared.file.differences()).collect()
    }
}

impl ComparedParts {
    /// Ends the current part.
    fn end_part(&mut self, layout: &FileLayout) {
        let Some(part) = layout.parts.get(self.part) else { return };
        match part.name == layout.name {
            true => self.file.end_part(None, layout.size()),
            false => self.file.end_part(Some(&part.name), part.bytes),
        }
    }
}

impl Sink for VerifySink<'_> {
    fn put(&mut self, file: usize, part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        let compared = &mut self.compared[file];
        if compared.part != part {
            compared.end_part(&self.files[file]);
            compared.part = part;
        }
        compared.hash.update(bytes);
        compared.file.put(offset, bytes)
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        let expected = |(layout, compared): (&FileLayout, &mut ComparedParts)| {
            compared.end_part(layout);
            let sha256 = hex::encode(std::mem::take(&mut compared.hash).finalize());
            WrittenFile { name: layout.name.clone(), size: layout.size(), sha256 }
        };
        Ok(self.files.iter().zip(&mut self.compared).map(expected).collect())
    }
}
