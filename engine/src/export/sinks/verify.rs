//! Compares the expected bytes with files that exist, and writes nothing.

use std::io;
use std::sync::Arc;

use kernels::resize;
use sha2::{Digest as _, Sha256};

use super::Sink;
use crate::error::{Error, Result};
use crate::gguf;
use crate::io::{Folder, Source};
use crate::plan::{FileLayout, WrittenFile};

/// A difference between an export and what its inputs give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub file: String,
    /// The tensor, where it is in one.
    pub tensor: Option<String>,
    /// The difference.
    pub problem: String,
}

/// Compares every chunk with the bytes at its offset.
pub(in crate::export) struct VerifySink<'a> {
    files: &'a [FileLayout],
    compared: Vec<ComparedFile>,
    bytes: Vec<u8>,
    differences: Vec<Difference>,
}

/// A file being compared, and the hash of its expected content.
struct ComparedFile {
    source: Option<Arc<dyn Source>>,
    hash: Sha256,
    /// The differences in the current part.
    differing: Option<DifferingBytes>,
}

struct DifferingBytes {
    part: usize,
    first: u64,
    bytes: u64,
}

impl<'a> VerifySink<'a> {
    pub(in crate::export) fn new(files: &'a [FileLayout], folder: &dyn Folder) -> Result<Self> {
        let mut compare = Self { files, compared: Vec::new(), bytes: Vec::new(), differences: Vec::new() };
        for file in files {
            let source = match folder.open(&file.name) {
                Ok(source) => Some(source),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    compare.differ(&file.name, None, "is missing");
                    None
                }
                Err(error) => {
                    return Err(Error::read(format!("{}/{}", folder.location(), file.name), error));
                }
            };
            if let Some(source) = &source {
                compare.header(file, &**source)?;
            }
            let mut hash = Sha256::new();
            hash.update(&file.header);
            compare.compared.push(ComparedFile { source, hash, differing: None });
        }
        Ok(compare)
    }

    pub(in crate::export) fn differences(self) -> Vec<Difference> {
        self.differences
    }

    fn differ(&mut self, file: &str, tensor: Option<&str>, problem: impl Into<String>) {
        let (file, tensor) = (file.to_owned(), tensor.map(str::to_owned));
        self.differences.push(Difference { file, tensor, problem: problem.into() });
    }

    /// Size and header.
    fn header(&mut self, file: &FileLayout, source: &dyn Source) -> Result<()> {
        if source.size() != file.size() {
            let problem = format!("is {} bytes, not {}", source.size(), file.size());
            self.differ(&file.name, None, problem);
        }
        resize::bytes(&mut self.bytes, (file.header.len() as u64).min(source.size()) as usize);
        source.read_at(0, &mut self.bytes).map_err(|e| Error::read(source.location(), e))?;
        let Some((first, _)) = first_difference(&self.bytes, &file.header) else { return Ok(()) };
        let is_gguf = file.header.starts_with(b"GGUF");
        let details = if is_gguf { gguf::differences(&file.header, file.size(), source) } else { Vec::new() };
        if details.is_empty() {
            self.differ(&file.name, None, format!("differs in its header, from byte {first} on"));
        }
        for detail in details {
            self.differ(&file.name, None, detail);
        }
        Ok(())
    }

    /// Records the differences in the current part of a file.
    fn close(&mut self, file: usize) {
        let Some(differing) = self.compared[file].differing.take() else { return };
        let layout = &self.files[file];
        let part = &layout.parts[differing.part];
        let (of, size) =
            if part.name == layout.name { (None, layout.size()) } else { (Some(&part.name), part.bytes) };
        let DifferingBytes { first, bytes, .. } = differing;
        let problem = format!("differs in {bytes} of {size} bytes, first at byte {first} of the file");
        self.differ(&layout.name, of.map(String::as_str), problem);
    }
}

impl Sink for VerifySink<'_> {
    fn put(&mut self, file: usize, part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.compared[file].differing.as_ref().is_some_and(|differing| differing.part != part) {
            self.close(file);
        }
        let compared = &mut self.compared[file];
        compared.hash.update(bytes);
        let Some(source) = &compared.source else { return Ok(()) };
        let held = source.size().saturating_sub(offset).min(bytes.len() as u64);
        resize::bytes(&mut self.bytes, held as usize);
        if held > 0 {
            source.read_at(offset, &mut self.bytes).map_err(|e| Error::read(source.location(), e))?;
        }
        if let Some((first, count)) = first_difference(&self.bytes, bytes) {
            let differing =
                compared.differing.get_or_insert(DifferingBytes { part, first: offset + first, bytes: 0 });
            differing.bytes += count;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        for file in 0..self.files.len() {
            self.close(file);
        }
        let expected = |(layout, compared): (&FileLayout, &mut ComparedFile)| WrittenFile {
            name: layout.name.clone(),
            size: layout.size(),
            sha256: hex::encode(std::mem::take(&mut compared.hash).finalize()),
        };
        Ok(self.files.iter().zip(&mut self.compared).map(expected).collect())
    }
}

/// The first differing byte and the number of differing bytes; missing bytes differ.
fn first_difference(is: &[u8], should: &[u8]) -> Option<(u64, u64)> {
    if is == should {
        return None;
    }
    let shared = is.len().min(should.len());
    let first = is.iter().zip(should).position(|(a, b)| a != b).unwrap_or(shared);
    let differing = is.iter().zip(should).filter(|(a, b)| a != b).count();
    Some((first as u64, (differing + should.len() - shared) as u64))
}
