//! Writes a folder as one zip file. Entries are stored, not deflated (weights do not compress), zip64 where needed;
//! the same files give the same bytes.

use std::io::{self, Write};

use engine::{Folder, Output};
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    bucket::Bucket, chunks::for_each_chunk, error::JobError, manifest::ManifestFile,
    progress::ProgressTracker, upload::Upload,
};

/// More than the headers of one file in an archive.
const MAX_ENTRY_OVERHEAD: u64 = 4 << 10;

/// Writes `files` (names and sizes) of `from` as `to/archive`, which becomes visible when it is complete.
pub(crate) fn write_zip(
    from: &dyn Folder,
    files: &[(&str, u64)],
    to: &Bucket,
    archive: &str,
    progress: &ProgressTracker,
) -> Result<ManifestFile, JobError> {
    let location = format!("{}/{archive}", to.location());
    let write_error = |source| JobError::bucket("write", &location)(source);
    let mut upload = to.upload();
    upload.begin(archive, largest_size(files)).map_err(write_error)?;
    let mut zip = ZipWriter::new_stream(HashingUpload { upload, hash: Sha256::new(), size: 0 });
    for (name, _) in files {
        let location = format!("{}/{name}", from.location());
        let source = from.open(name).map_err(JobError::bucket("read", &location))?;
        zip.start_file(*name, entry_options(source.size())).map_err(|e| write_error(io::Error::other(e)))?;
        for_each_chunk(&*source, progress, |chunk| zip.write_all(chunk).map_err(write_error))?;
    }
    let finished = zip.finish().map_err(|e| write_error(io::Error::other(e)))?;
    let HashingUpload { mut upload, hash, size } = finished.into_inner();
    upload.finish().map_err(write_error)?;
    Ok(ManifestFile { name: archive.to_owned(), size, sha256: hex::encode(hash.finalize()) })
}

/// At least the size of the archive.
fn largest_size(files: &[(&str, u64)]) -> u64 {
    files.iter().map(|(_, size)| size + MAX_ENTRY_OVERHEAD).sum::<u64>() + MAX_ENTRY_OVERHEAD
}

fn entry_options(size: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .large_file(size >= u64::from(u32::MAX))
}

/// An upload whose bytes are counted and hashed.
struct HashingUpload {
    upload: Upload,
    hash: Sha256,
    size: u64,
}

impl Write for HashingUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Output::write(&mut self.upload, bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
