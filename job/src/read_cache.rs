//! Files of inputs in memory: what was read once is not read over the network again. Greedy answers read all weights for each
//! token.
//!
//! A file is cached whole or not at all, in blocks that are read when they are needed. The cache has a limit, and nothing is
//! evicted: a pass over weights that do not fit would evict each block before its next use.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use engine::{Folder, OpenedOnce, Source};

/// Bytes that are read at once. Reads of the engine have about this size, at other offsets.
const BLOCK: u64 = 4 << 20;

/// The memory of the cached files.
pub(crate) struct ReadCache {
    /// Bytes that no file has taken.
    left: AtomicU64,
}

impl ReadCache {
    /// A cache of files of `limit` bytes in all.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(limit) })
    }

    /// The folder, its files cached if weights of `size` bytes fit beside the files that are cached already.
    pub(crate) fn folder(self: &Arc<Self>, folder: Arc<dyn Folder>, size: u64) -> Arc<dyn Folder> {
        if size > self.left.load(Ordering::Relaxed) {
            return folder;
        }
        let cache = Arc::clone(self);
        Arc::new(OpenedOnce::new(folder, move |source| cache.source(source)))
    }

    /// The file, cached if it fits. Its memory is free again when the last reference to it is dropped.
    pub(crate) fn source(self: &Arc<Self>, source: Arc<dyn Source>) -> Arc<dyn Source> {
        let size = source.size();
        let take = |left: u64| left.checked_sub(size);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                let blocks = (0..size.div_ceil(BLOCK)).map(|_| Mutex::default()).collect();
                Arc::new(CachedSource { source, blocks, cache: Arc::clone(self) })
            }
            Err(_) => source,
        }
    }
}

/// A block, or `None` before it is read. The lock is held while it is read: other readers wait for the same bytes.
type Block = Mutex<Option<Arc<Vec<u8>>>>;

struct CachedSource {
    source: Arc<dyn Source>,
    blocks: Vec<Block>,
    cache: Arc<ReadCache>,
}

impl CachedSource {
    fn block(&self, number: usize) -> io::Result<Arc<Vec<u8>>> {
        let mut block = lock(&self.blocks[number]);
        if let Some(bytes) = &*block {
            return Ok(Arc::clone(bytes));
        }
        let offset = number as u64 * BLOCK;
        let mut bytes = vec![0; BLOCK.min(self.size() - offset) as usize];
        self.source.read_at(offset, &mut bytes)?;
        Ok(Arc::clone(block.insert(Arc::new(bytes))))
    }
}

impl Source for CachedSource {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    fn version(&self) -> Option<String> {
        self.source.version()
    }

    fn read_sha256(&self) -> Option<String> {
        self.source.read_sha256()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let position = offset + filled as u64;
            let block = self.block((position / BLOCK) as usize)?;
            let found = &block[(position % BLOCK) as usize..];
            let count = found.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&found[..count]);
            filled += count;
        }
        Ok(())
    }
}

impl Drop for CachedSource {
    fn drop(&mut self) {
        self.cache.left.fetch_add(self.size(), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A file whose byte at `n` is `n % 251`, and the bytes that were read of it.
    struct CountedFile {
        size: u64,
        read: AtomicU64,
    }

    impl CountedFile {
        fn new(size: u64) -> Arc<Self> {
            Arc::new(Self { size, read: AtomicU64::new(0) })
        }

        fn read(&self) -> u64 {
            self.read.load(Ordering::Relaxed)
        }
    }

    fn expected(offset: u64, count: usize) -> Vec<u8> {
        (offset..).take(count).map(|position| (position % 251) as u8).collect()
    }

    impl Source for CountedFile {
        fn location(&self) -> &str {
            "counted"
        }

        fn size(&self) -> u64 {
            self.size
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            buffer.copy_from_slice(&expected(offset, buffer.len()));
            Ok(())
        }
    }

    #[test]
    fn each_byte_is_read_once_by_all_threads_together() {
        let file = CountedFile::new(3 * BLOCK + 1_000);
        let cached = ReadCache::new(4 * BLOCK).source(file.clone());
        thread::scope(|scope| {
            for start in [0, 77, BLOCK - 3, 2 * BLOCK + 500] {
                let cached = &cached;
                scope.spawn(move || {
                    let mut buffer = vec![0; 3_000_001];
                    let last = cached.size() - buffer.len() as u64;
                    for offset in (start..last).step_by(1_700_000).chain([last]) {
                        cached.read_at(offset, &mut buffer).unwrap();
                        assert!(buffer == expected(offset, buffer.len()), "{offset}");
                    }
                });
            }
        });
        assert_eq!(file.read(), file.size);
        let past_the_end = cached.read_at(cached.size() - 1, &mut [0; 2]).unwrap_err();
        assert_eq!(past_the_end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_does_not_fit_is_read_again_until_another_is_dropped() {
        let cache = ReadCache::new(1_000);
        let (first, second) = (CountedFile::new(600), CountedFile::new(500));
        let read_twice = |file: &Arc<CountedFile>| {
            let cached = cache.source(file.clone());
            cached.read_at(0, &mut [0; 100]).unwrap();
            cached.read_at(0, &mut [0; 100]).unwrap();
            cached
        };
        let kept = read_twice(&first);
        read_twice(&second);
        assert_eq!((first.read(), second.read()), (600, 200));
        drop(kept);
        read_twice(&second);
        assert_eq!(second.read(), 700);
    }

    #[test]
    fn a_block_that_could_not_be_read_is_read_again() {
        struct FailsOnce(Mutex<bool>);
        impl Source for FailsOnce {
            fn location(&self) -> &str {
                "fails once"
            }

            fn size(&self) -> u64 {
                4
            }

            fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
                buffer.fill(9);
                match std::mem::replace(&mut *lock(&self.0), true) {
                    true => Ok(()),
                    false => Err(io::ErrorKind::TimedOut.into()),
                }
            }
        }
        let cached = ReadCache::new(10).source(Arc::new(FailsOnce(Mutex::new(false))));
        let mut buffer = [0; 4];
        assert_eq!(cached.read_at(0, &mut buffer).unwrap_err().kind(), io::ErrorKind::TimedOut);
        cached.read_at(0, &mut buffer).unwrap();
        assert_eq!(buffer, [9; 4]);
    }
}
