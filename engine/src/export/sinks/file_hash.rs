//! The SHA-256 of a file that is being written, and checksums of its ranges, by which a later run knows what it has.

use std::io;
use std::mem;
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_128;

/// Bytes read at a time.
const READ_SIZE: u64 = 1 << 20;

/// The hash of a file. Bytes that come in the file's order are hashed at once; the rest is read back.
///
/// The checksum of a range in order is the SHA-256 of the file up to its end, which costs nothing; of another range it is an
/// XXH3 of 128 bits.
#[derive(Default)]
pub(super) struct FileHash {
    sha256: Sha256,
    /// Bytes from the start that are hashed.
    hashed: u64,
    /// Of the bytes of the current range that are out of order.
    range: XxHash3_128,
}

impl FileHash {
    /// Bytes from the start that are hashed.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Adds the bytes at `offset`.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        if offset == self.hashed {
            self.sha256.update(bytes);
            self.hashed += bytes.len() as u64;
        } else {
            self.range.write(bytes);
        }
    }

    /// The checksum of a range that ends here, and was put since the last one.
    pub(super) fn end_range(&mut self, end: u64) -> String {
        let range = mem::take(&mut self.range);
        if self.hashed == end { sha256(&self.sha256) } else { xxh3(&range) }
    }

    /// Adds a range that an earlier run has written, if it has this checksum; returns whether it has. `read` fills a buffer
    /// from an offset on, and returns whether there are so many bytes.
    pub(super) fn keep(
        &mut self,
        range: Range<u64>,
        checksum: &str,
        mut read: impl FnMut(u64, &mut [u8]) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let (mut extended, mut alone) = (self.sha256.clone(), XxHash3_128::new());
        let is_next = range.start == self.hashed;
        let mut buffer = vec![0; READ_SIZE.min(range.end - range.start) as usize];
        let mut offset = range.start;
        while offset < range.end {
            let bytes = &mut buffer[..READ_SIZE.min(range.end - offset) as usize];
            if !read(offset, bytes)? {
                return Ok(false);
            }
            if is_next {
                extended.update(&*bytes);
            }
            alone.write(bytes);
            offset += bytes.len() as u64;
        }
        let is_intact = (is_next && sha256(&extended) == checksum) || xxh3(&alone) == checksum;
        if is_intact && is_next {
            (self.sha256, self.hashed) = (extended, range.end);
        }
        Ok(is_intact)
    }

    /// The SHA-256 of the whole file, in lower-case hex. Begins anew.
    pub(super) fn finish(
        &mut self,
        size: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<String> {
        let Self { mut sha256, mut hashed, .. } = mem::take(self);
        let mut buffer = vec![0; READ_SIZE.min(size - hashed) as usize];
        while hashed < size {
            let bytes = &mut buffer[..READ_SIZE.min(size - hashed) as usize];
            read(hashed, bytes)?;
            sha256.update(&*bytes);
            hashed += bytes.len() as u64;
        }
        Ok(hex::encode(sha256.finalize()))
    }
}

fn sha256(hash: &Sha256) -> String {
    hex::encode(hash.clone().finalize())
}

fn xxh3(hash: &XxHash3_128) -> String {
    format!("{:032x}", hash.finish_128())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"a header, and tensors";

    fn read(offset: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let found = FILE.get(offset as usize..offset as usize + bytes.len());
        found.inspect(|found| bytes.copy_from_slice(found));
        Ok(found.is_some())
    }

    #[test]
    fn the_hash_is_that_of_the_file_in_any_order_and_with_kept_ranges() {
        let expected = hex::encode(Sha256::digest(FILE));
        let orders = [[0..9, 9..14, 14..21], [0..9, 14..21, 9..14], [14..21, 9..14, 0..9]];
        for order in orders {
            let mut written = FileHash::default();
            let sums = order.clone().map(|range| {
                written.put(range.start as u64, &FILE[range.clone()]);
                written.end_range(range.end as u64)
            });
            let rest = |offset: u64, bytes: &mut [u8]| read(offset, bytes).map(|_| ());
            assert_eq!(written.finish(FILE.len() as u64, rest).unwrap(), expected);
            let mut kept = FileHash::default();
            for (range, sum) in order.into_iter().zip(&sums) {
                let range = range.start as u64..range.end as u64;
                assert!(!kept.keep(range.clone(), "0", read).unwrap(), "{range:?}");
                assert!(kept.keep(range.clone(), sum, read).unwrap(), "{range:?}");
                assert!(!kept.keep(range.start..99, sum, read).unwrap(), "the file is shorter");
            }
            assert_eq!(kept.finish(FILE.len() as u64, rest).unwrap(), expected);
        }
    }
}
