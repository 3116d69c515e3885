//! A file that exists, compared with the bytes that it should have.

use std::io;
use std::sync::Arc;

use kernels::resize;

use crate::error::{Error, Result};
use crate::gguf;
use crate::io::{Folder, Source};

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

/// A file being compared.
pub(super) struct ComparedFile {
    name: String,
    /// The size that it should have.
    size: u64,
    /// `None` if it is missing.
    source: Option<Arc<dyn Source>>,
    bytes: Vec<u8>,
    /// The differences in the current part.
    differing: Option<DifferingBytes>,
    differences: Vec<Difference>,
}

struct DifferingBytes {
    first: u64,
    count: u64,
}

impl ComparedFile {
    /// What is wrong with a file that is not there.
    pub(super) const MISSING: &'static str = "is missing";

    /// Opens the file, which may be missing, and compares its size.
    pub(super) fn open(folder: &dyn Folder, name: &str, size: u64) -> Result<Self> {
        let source = match folder.open(name) {
            Ok(source) => Some(source),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::read(format!("{}/{name}", folder.location()), error)),
        };
        let mut file = Self {
            name: name.to_owned(),
            size,
            source,
            bytes: Vec::new(),
            differing: None,
            differences: Vec::new(),
        };
        match file.source.as_ref().map(|source| source.size()) {
            None => file.differ(None, Self::MISSING),
            Some(is) if is != size => file.differ(None, format!("is {is} bytes, not {size}")),
            Some(_) => {}
        }
        Ok(file)
    }

    /// Compares the header, of which differences are described.
    pub(super) fn header(&mut self, header: &[u8]) -> Result<()> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        self.read(0, header.len())?;
        let Some((first, _)) = first_difference(&self.bytes, header) else { return Ok(()) };
        let is_gguf = header.starts_with(b"GGUF");
        let details = if is_gguf { gguf::differences(header, self.size, &*source) } else { Vec::new() };
        if details.is_empty() {
            self.differ(None, format!("differs in its header, from byte {first} on"));
        }
        for detail in details {
            self.differ(None, detail);
        }
        Ok(())
    }

    /// Compares bytes of the current part, which belong at `offset`.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.source.is_none() {
            return Ok(());
        }
        self.read(offset, bytes.len())?;
        if let Some((first, count)) = first_difference(&self.bytes, bytes) {
            let first = offset + first;
            self.differing.get_or_insert(DifferingBytes { first, count: 0 }).count += count;
        }
        Ok(())
    }

    /// Records the differences of the part that ends, a tensor or the whole file, of this size.
    pub(super) fn end_part(&mut self, tensor: Option<&str>, size: u64) {
        if let Some(DifferingBytes { first, count }) = self.differing.take() {
            let problem = format!("differs in {count} of {size} bytes, first at byte {first} of the file");
            self.differ(tensor, problem);
        }
    }

    pub(super) fn differences(self) -> Vec<Difference> {
        self.differences
    }

    fn differ(&mut self, tensor: Option<&str>, problem: impl Into<String>) {
        let (file, tensor) = (self.name.clone(), tensor.map(str::to_owned));
        self.differences.push(Difference { file, tensor, problem: problem.into() });
    }

    /// Reads so many bytes into `self.bytes`, or those that there are.
    fn read(&mut self, offset: u64, count: usize) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let held = source.size().saturating_sub(offset).min(count as u64);
        resize::bytes(&mut self.bytes, held as usize);
        if held > 0 {
            source.read_at(offset, &mut self.bytes).map_err(|e| Error::read(source.location(), e))?;
        }
        Ok(())
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
