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
    upload.begin(archive, zip_size(files)).map_err(write_error)?;
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

/// The size of the archive of these files (names and sizes), to the byte: the records of
/// <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, section 4.3, as the crate writes them to a stream.
pub(crate) fn zip_size(files: &[(&str, u64)]) -> u64 {
    let (mut local, mut central) = (0, 0);
    for (name, size) in files {
        let (name, is_large) = (name.len() as u64, is_large(*size));
        // sizes and the entry's offset in a field of ZIP64
        let sizes = if is_large { 16 } else { 0 };
        let offset = if local >= ZIP64_LIMIT { 8 } else { 0 };
        let zip64 = if sizes + offset > 0 { 4 + sizes + offset } else { 0 };
        central += 46 + name + zip64;
        let (extra, descriptor) = if is_large { (20, 24) } else { (0, 16) };
        local += 30 + name + extra + size + descriptor;
    }
    let is_zip64 = local > ZIP64_LIMIT || files.len() > usize::from(u16::MAX);
    local + central + if is_zip64 { 56 + 20 + 22 } else { 22 }
}

/// Sizes and offsets from this one on are stored in 64 bits.
const ZIP64_LIMIT: u64 = u32::MAX as u64;

fn is_large(size: u64) -> bool {
    size >= ZIP64_LIMIT
}

fn entry_options(size: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .large_file(is_large(size))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is written.
    #[derive(Default)]
    struct Counter(u64);

    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written_size(files: &[(&str, u64)]) -> u64 {
        let (mut zip, zeros) = (ZipWriter::new_stream(Counter::default()), vec![0; 1 << 20]);
        for (name, size) in files {
            zip.start_file(*name, entry_options(*size)).unwrap();
            let mut left = *size;
            while left > 0 {
                let length = left.min(zeros.len() as u64);
                zip.write_all(&zeros[..length as usize]).unwrap();
                left -= length;
            }
        }
        zip.finish().unwrap().into_inner().0
    }

    #[test]
    fn the_size_of_an_archive_is_known_before_it_is_written() {
        let many: Vec<_> = (0..70_000).map(|n| format!("{n}.txt")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 1)).collect();
        for files in [
            &[][..],
            &[("config.json", 0)],
            &[("config.json", 7), ("additional_chat_templates/é.jinja", 1 << 20)],
            &[("one", 2 << 30), ("two", (2 << 30) - 1), ("three", 3), ("four", 4)],
            &[("one", ZIP64_LIMIT), ("two", 1)],
            &many,
        ] {
            assert_eq!(zip_size(files), written_size(files), "{} files", files.len());
        }
    }
}
