//! A folder whose files are opened once, and the hash of a small file is that of the bytes that were parsed.

use std::io;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use super::{Folder, OpenedOnce, Source};

/// The folder with its opened files kept, and the hash of what is read of them at once.
pub(crate) fn pin(folder: Arc<dyn Folder>) -> Arc<dyn Folder> {
    Arc::new(OpenedOnce::new(folder, |source| Arc::new(PinnedSource { source, sha256: OnceLock::new() })))
}

/// A file that hashes what is read of it at once.
struct PinnedSource {
    source: Arc<dyn Source>,
    sha256: OnceLock<String>,
}

impl Source for PinnedSource {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    fn version(&self) -> Option<String> {
        self.source.version()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_at(offset, buffer)?;
        if offset == 0 && buffer.len() as u64 == self.size() {
            let hash = hex::encode(Sha256::digest(&*buffer));
            if *self.sha256.get_or_init(|| hash.clone()) != hash {
                return Err(changed());
            }
        }
        Ok(())
    }

    fn read_sha256(&self) -> Option<String> {
        self.sha256.get().cloned()
    }
}

/// The error of a file that is no longer the one that was opened.
pub(super) fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::StaleNetworkFileHandle, "the file was changed while it was being read")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::super::FolderEntry;
    use super::*;

    /// A file with other bytes at every read.
    struct ChangingFile(AtomicU8);

    impl Source for ChangingFile {
        fn location(&self) -> &str {
            "changing"
        }

        fn size(&self) -> u64 {
            4
        }

        fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.fill(self.0.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }
    }

    struct ChangingFolder;

    impl Folder for ChangingFolder {
        fn location(&self) -> &str {
            "folder"
        }

        fn list(&self) -> io::Result<Vec<FolderEntry>> {
            Ok(Vec::new())
        }

        fn list_subfolder(&self, _: &str) -> io::Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn open(&self, _: &str) -> io::Result<Arc<dyn Source>> {
            Ok(Arc::new(ChangingFile(AtomicU8::new(7))))
        }
    }

    #[test]
    fn a_file_has_the_hash_of_the_bytes_that_were_read() {
        let folder = pin(Arc::new(ChangingFolder));
        assert_eq!(folder.open("a").unwrap().read_sha256(), None);
        let mut bytes = [0; 4];
        folder.open("a").unwrap().read_at(0, &mut bytes).unwrap();
        let expected = hex::encode(Sha256::digest([7; 4]));
        assert_eq!(folder.open("a").unwrap().read_sha256(), Some(expected));
        let error = folder.open("a").unwrap().read_at(0, &mut bytes).unwrap_err();
        assert!(error.to_string().contains("changed while it was being read"), "{error}");
    }
}
