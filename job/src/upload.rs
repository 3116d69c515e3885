//! Writes files into a bucket by multipart upload.

use std::io;

use bucket_snapshot::io_error;
use engine::Output;
use object_store::buffered::BufWriter;
use shared::adapters::storage::StorageLocation;
use tokio::{io::AsyncWriteExt as _, runtime::Handle};

const MIB: u64 = 1 << 20;
/// Smallest size of a part in bytes. Cloud Storage rejects parts under 5 MiB, except the last.
const MIN_PART_SIZE: u64 = 8 * MIB;
/// Most parts of one upload. Cloud Storage allows 10,000.
const MAX_PARTS: u64 = 9_000;
/// Bytes in flight at once, if parts are smaller.
const BYTES_IN_FLIGHT: u64 = 32 * MIB;

/// Writes files into a folder of a bucket, one after the other. A file becomes visible when it is finished; dropping the
/// upload before that aborts it.
///
/// Its memory is one part that is being filled, and the parts in flight: 32 MiB or one part, whichever is more.
pub(crate) struct Upload {
    folder: StorageLocation,
    file: Option<BufWriter>,
    runtime: Handle,
}

impl Upload {
    pub(crate) fn new(folder: StorageLocation, runtime: Handle) -> Self {
        Self { folder, file: None, runtime }
    }

    fn abort(&mut self) {
        if let Some(mut file) = self.file.take()
            && let Err(error) = self.runtime.block_on(file.abort())
        {
            tracing::warn!(%error, "an upload was not aborted: the bucket's lifecycle rule will remove its parts");
        }
    }
}

impl Output for Upload {
    fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.abort();
        let object = self.folder.join(name).map_err(io::Error::other)?;
        let part_size = part_size(size);
        self.file = Some(
            BufWriter::with_capacity(object.store, object.path, part_size as usize)
                .with_max_concurrency((BYTES_IN_FLIGHT / part_size).max(1) as usize),
        );
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(not_begun)?;
        self.runtime.block_on(file.write_all(bytes)).map_err(with_kind_of_cause)
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut file = self.file.take().ok_or_else(not_begun)?;
        self.runtime.block_on(file.shutdown()).map_err(with_kind_of_cause)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Bytes of one part of a file of `size` bytes: whole MiB, few enough parts.
fn part_size(size: u64) -> u64 {
    size.div_ceil(MAX_PARTS).next_multiple_of(MIB).max(MIN_PART_SIZE)
}

/// The error of the store with the kind of its cause, such as a full disk, which a `BufWriter` drops.
fn with_kind_of_cause(error: io::Error) -> io::Error {
    error.downcast().map_or_else(|error| error, io_error)
}

fn not_begun() -> io::Error {
    io::Error::other("no file of the upload was begun")
}

#[cfg(test)]
mod tests {
    use e2e::cloud_storage::CloudStorage;
    use shared::adapters::storage::Storage;

    use super::*;

    #[test]
    fn no_upload_has_more_parts_than_cloud_storage_allows() {
        for size in [0, 1, 70 << 30, 83_900_000_000, 84_000_000_000, 200_000_000_000, 5 << 40] {
            let part = part_size(size);
            assert!(size.div_ceil(part) <= MAX_PARTS, "{size}");
            assert!(part >= MIN_PART_SIZE && part.is_multiple_of(MIB), "{size}");
        }
        assert_eq!((part_size(70 << 30), part_size(100 << 30)), (8 * MIB, 12 * MIB));
    }

    #[test]
    fn an_error_of_the_store_has_the_kind_of_its_cause() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error =
                object_store::Error::Generic { store: "local", source: Box::new(io::Error::from(kind)) };
            assert_eq!(with_kind_of_cause(error.into()).kind(), kind);
        }
        let other = with_kind_of_cause(io::ErrorKind::BrokenPipe.into());
        assert_eq!(other.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_parts_of_a_large_file_are_larger() {
        let storage = CloudStorage::start().await;
        let folder = Storage::google(Some(storage.endpoint())).location("gs://files/job-1").unwrap();
        let runtime = Handle::current();
        let write = move || {
            // the sizes are announced; few of the bytes are written
            for (name, size) in [("small", 60 * MIB), ("large", 100 << 30)] {
                let mut upload = Upload::new(folder.clone(), runtime.clone());
                upload.begin(name, size)?;
                (0..60).try_for_each(|_| upload.write(&vec![7; MIB as usize]))?;
                upload.finish()?;
            }
            io::Result::Ok(())
        };
        tokio::task::spawn_blocking(write).await.unwrap().unwrap();
        assert_eq!(storage.part_sizes("files/job-1/small").len(), 8);
        assert_eq!(storage.part_sizes("files/job-1/large"), [12 << 20; 5]);
        assert_eq!(storage.read("files/job-1/large").unwrap().len(), 60 << 20);
    }
}
