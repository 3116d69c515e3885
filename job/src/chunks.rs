//! Reads a file in order, chunk by chunk, until its end or until the job is stopped.

use engine::{Output, Source};
use sha2::{Digest, Sha256};

use crate::{bucket::Bucket, error::JobError, progress::ProgressTracker};

/// Bytes that are read at once.
pub(crate) const CHUNK_SIZE: u64 = 4 << 20;

/// Calls `consume` with the chunks of `source` in order, and adds their bytes to the progress.
///
/// # Errors
/// [`JobError::Bucket`] when `source` cannot be read, [`JobError::Stopped`] when the job is stopped, and those of
/// `consume`.
pub(crate) fn for_each_chunk(
    source: &dyn Source,
    progress: &ProgressTracker,
    mut consume: impl FnMut(&[u8]) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let mut chunk = vec![0; source.size().min(CHUNK_SIZE) as usize];
    let mut offset = 0;
    while offset < source.size() {
        if progress.is_stopped() {
            return Err(JobError::Stopped);
        }
        let length = (source.size() - offset).min(CHUNK_SIZE);
        let chunk = &mut chunk[..length as usize];
        source.read_at(offset, chunk).map_err(JobError::bucket("read", source.location()))?;
        consume(chunk)?;
        offset += length;
        progress.advance(length);
    }
    Ok(())
}

/// The SHA-256 of a file in lower-case hex.
pub(crate) fn sha256(source: &dyn Source, progress: &ProgressTracker) -> Result<String, JobError> {
    let mut hash = Sha256::new();
    for_each_chunk(source, progress, |chunk| {
        hash.update(chunk);
        Ok(())
    })?;
    Ok(hex::encode(hash.finalize()))
}

/// Copies a file into a folder of a bucket, under `name`.
pub(crate) fn copy(
    source: &dyn Source,
    to: &Bucket,
    name: &str,
    progress: &ProgressTracker,
) -> Result<(), JobError> {
    let location = format!("{}/{name}", to.location());
    let mut upload = to.upload();
    upload.begin(name, source.size()).map_err(JobError::bucket("write", &location))?;
    for_each_chunk(source, progress, |chunk| {
        upload.write(chunk).map_err(JobError::bucket("write", &location))
    })?;
    upload.finish().map_err(JobError::bucket("write", &location))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct OnesSource(u64);

    impl Source for OnesSource {
        fn location(&self) -> &str {
            "ones"
        }

        fn size(&self) -> u64 {
            self.0
        }

        fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.fill(1);
            Ok(())
        }
    }

    #[test]
    fn every_byte_is_consumed_once() {
        for size in [0, 1, CHUNK_SIZE, CHUNK_SIZE + 7, 3 * CHUNK_SIZE] {
            let mut sum = 0;
            let add = |chunk: &[u8]| {
                sum += chunk.iter().map(|b| u64::from(*b)).sum::<u64>();
                Ok(())
            };
            assert!(for_each_chunk(&OnesSource(size), &ProgressTracker::new(), add).is_ok());
            assert_eq!(sum, size);
        }
    }

    #[test]
    fn a_stop_ends_it_before_the_next_chunk() {
        let (progress, mut consumed) = (ProgressTracker::new(), 0);
        let stop = |_: &[u8]| {
            consumed += 1;
            progress.stop();
            Ok(())
        };
        let result = for_each_chunk(&OnesSource(3 * CHUNK_SIZE), &progress, stop);
        assert!(matches!(result, Err(JobError::Stopped)));
        assert_eq!(consumed, 1);
    }

    #[test]
    fn a_hash_covers_every_chunk() {
        let expected = hex::encode(Sha256::digest(vec![1; CHUNK_SIZE as usize + 7]));
        assert_eq!(sha256(&OnesSource(CHUNK_SIZE + 7), &ProgressTracker::new()).unwrap(), expected);
    }
}
