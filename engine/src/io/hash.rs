//! Hashes of what is stored.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::Source;
use crate::error::{Error, Result};

/// Bytes read at once.
const BLOCK: u64 = 1 << 20;

/// The SHA-256 of a range of a file, in lower-case hex. Ends early when `stopped` says so.
pub(crate) fn sha256(source: &dyn Source, range: Range<u64>, stopped: &dyn Fn() -> bool) -> Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK.min(range.end - range.start) as usize];
    let mut at = range.start;
    while at < range.end {
        if stopped() {
            return Err(Error::Cancelled);
        }
        let length = BLOCK.min(range.end - at);
        let block = &mut block[..length as usize];
        source.read_at(at, block).map_err(|e| Error::read(source.location(), e))?;
        hash.update(block);
        at += length;
    }
    Ok(hex::encode(hash.finalize()))
}
