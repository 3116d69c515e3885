//! A folder as one zip file: entries stored, not deflated (weights do not compress), zip64 where needed, and the
//! same bytes for the same files.

use std::io::{self, Write};

use engine::{Folder, Output};
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    blocks::{self, Fault},
    bucket::{Bucket, Upload},
    error::JobError,
    manifest::ManifestFile,
    reporter::Reporter,
};

/// Writes `names` of `from` as `to/archive`, which is visible when all of them are in it.
pub(crate) fn pack(
    from: &dyn Folder,
    names: &[String],
    to: &Bucket,
    archive: &str,
    reporter: &Reporter,
) -> Result<ManifestFile, JobError> {
    let place = format!("{}/{archive}", to.location());
    let failed = |source| JobError::Bucket { action: "write", place: place.clone(), source };
    let mut upload = to.upload();
    upload.begin(archive, 0).map_err(failed)?;
    let mut zip = ZipWriter::new_stream(Counted { upload, hash: Sha256::new(), size: 0 });
    for name in names {
        copy(from, name, &mut zip, reporter).map_err(|fault| match fault {
            Fault::Read(e) => JobError::bucket("read", &format!("{}/{name}", from.location()))(e),
            Fault::Taker(e) => failed(e),
            Fault::Stopped => JobError::Stopped,
        })?;
    }
    let finished = zip.finish().map_err(|e| failed(io::Error::other(e)))?;
    let Counted { mut upload, hash, size } = finished.into_inner();
    upload.finish().map_err(failed)?;
    Ok(ManifestFile { name: archive.to_owned(), size, sha256: hex::encode(hash.finalize()) })
}

fn copy<W: Write + io::Seek>(
    from: &dyn Folder,
    name: &str,
    zip: &mut ZipWriter<W>,
    reporter: &Reporter,
) -> Result<(), Fault> {
    let source = from.open(name).map_err(Fault::Read)?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .large_file(source.size() >= u64::from(u32::MAX));
    zip.start_file(name, options).map_err(|e| Fault::Taker(io::Error::other(e)))?;
    blocks::each(&*source, reporter, |block| zip.write_all(block))
}

/// The upload, counted and hashed on the way.
struct Counted {
    upload: Upload,
    hash: Sha256,
    size: u64,
}

impl Write for Counted {
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
