//! Files that several readers read at the same positions at about the same time: each range is read once, and kept until
//! the last of them has it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Source;

/// How many ranges are kept, in case a reader never comes for one.
const MAX_KEPT: usize = 16;

/// The ranges in memory, of all files that share them.
pub(crate) struct SharedReads {
    readers: usize,
    ranges: Mutex<VecDeque<ReadRange>>,
}

/// The bytes of a range; `None` before they are read.
type RangeBytes = Arc<Mutex<Option<Vec<u8>>>>;

/// A range that was read, or is being read.
struct ReadRange {
    file: usize,
    offset: u64,
    length: usize,
    bytes: RangeBytes,
    /// How many readers have not had it.
    waited_for: usize,
}

impl SharedReads {
    pub(crate) fn between(readers: usize) -> Arc<Self> {
        Arc::new(Self { readers, ranges: Mutex::default() })
    }

    /// A file whose ranges are kept. Its `number` differs from those of the other files.
    pub(crate) fn source(self: &Arc<Self>, number: usize, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(SharedSource { source, number, reads: Arc::clone(self) })
    }

    /// A range for one of its readers.
    fn range(&self, file: usize, offset: u64, length: usize) -> RangeBytes {
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |range: &ReadRange| (range.file, range.offset, range.length) == (file, offset, length);
        if let Some(at) = ranges.iter().position(is_same) {
            let range = &mut ranges[at];
            range.waited_for -= 1;
            let bytes = Arc::clone(&range.bytes);
            if range.waited_for == 0 {
                ranges.remove(at);
            }
            return bytes;
        }
        if ranges.len() == MAX_KEPT {
            ranges.pop_front();
        }
        let bytes = RangeBytes::default();
        ranges.push_back(ReadRange {
            file,
            offset,
            length,
            bytes: Arc::clone(&bytes),
            waited_for: self.readers - 1,
        });
        bytes
    }
}

struct SharedSource {
    source: Arc<dyn Source>,
    number: usize,
    reads: Arc<SharedReads>,
}

impl Source for SharedSource {
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
        if self.reads.readers == 1 {
            return self.source.read_at(offset, buffer);
        }
        let bytes = self.reads.range(self.number, offset, buffer.len());
        // held while reading: the others wait for the same bytes
        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        match &*bytes {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => {
                self.source.read_at(offset, buffer)?;
                *bytes = Some(buffer.to_vec());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct CountedReads(AtomicUsize);

    impl Source for CountedReads {
        fn location(&self) -> &str {
            "counted"
        }

        fn size(&self) -> u64 {
            100
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            buffer.fill(offset as u8);
            Ok(())
        }
    }

    #[test]
    fn each_range_is_read_once_for_all_readers() {
        let counted = Arc::new(CountedReads(AtomicUsize::new(0)));
        let reads = SharedReads::between(2);
        let source = reads.source(0, Arc::<CountedReads>::clone(&counted));
        for offset in 0..5 {
            for _ in 0..2 {
                let mut buffer = [0; 4];
                source.read_at(offset, &mut buffer).unwrap();
                assert_eq!(buffer, [offset as u8; 4]);
            }
        }
        assert_eq!(counted.0.load(Ordering::Relaxed), 5);
        assert!(reads.ranges.lock().unwrap().is_empty());
        for offset in 0..40 {
            source.read_at(offset, &mut [0; 4]).unwrap();
        }
        assert_eq!(reads.ranges.lock().unwrap().len(), MAX_KEPT);
    }
}
