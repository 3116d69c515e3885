//! SHA-256 of stored files.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::Source;
use crate::error::{Error, Result};

/// Bytes per read.
const CHUNK_SIZE: u64 = 1 << 20;

/// The SHA-256 of a range of a file, in lower-case hex. Checks `cancelled` after each chunk.
pub(crate) fn sha256(source: &dyn Source, range: Range<u64>, cancelled: &dyn Fn() -> bool) -> Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_SIZE.min(range.end - range.start) as usize];
    let mut offset = range.start;
    while offset < range.end {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let length = CHUNK_SIZE.min(range.end - offset);
        let chunk = &mut chunk[..length as usize];
        source.read_at(offset, chunk).map_err(|e| Error::read(source.location(), e))?;
        hash.update(chunk);
        offset += length;
    }
    Ok(hex::encode(hash.finalize()))
}
