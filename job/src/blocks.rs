//! A file from its first byte to its last, block by block, as long as the job goes on.

use std::io;

use engine::Source;

use crate::reporter::Reporter;

/// Bytes read at once.
const BLOCK: u64 = 4 << 20;

/// Why the end was not reached.
pub(crate) enum Fault {
    /// The file could not be read.
    Read(io::Error),
    /// The block could not be taken.
    Taker(io::Error),
    /// The job shall end.
    Stopped,
}

/// Hands `take` the blocks of `source` in order and notes the progress.
pub(crate) fn each(
    source: &dyn Source,
    reporter: &Reporter,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Fault> {
    let mut block = vec![0; source.size().min(BLOCK) as usize];
    let mut offset = 0;
    while offset < source.size() {
        if reporter.is_stopped() {
            return Err(Fault::Stopped);
        }
        let length = (source.size() - offset).min(BLOCK);
        let block = &mut block[..length as usize];
        source.read_at(offset, block).map_err(Fault::Read)?;
        take(block).map_err(Fault::Taker)?;
        offset += length;
        reporter.advance(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones(u64);

    impl Source for Ones {
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
    fn every_byte_comes_once() {
        for size in [0, 1, BLOCK, BLOCK + 7, 3 * BLOCK] {
            let mut sum = 0;
            let add = |block: &[u8]| {
                sum += block.iter().map(|b| u64::from(*b)).sum::<u64>();
                Ok(())
            };
            assert!(each(&Ones(size), &Reporter::new(), add).is_ok());
            assert_eq!(sum, size);
        }
    }

    #[test]
    fn a_stop_ends_it_before_the_next_block() {
        let (reporter, mut taken) = (Reporter::new(), 0);
        let stop = |_: &[u8]| {
            taken += 1;
            reporter.stop();
            Ok(())
        };
        assert!(matches!(each(&Ones(3 * BLOCK), &reporter, stop), Err(Fault::Stopped)));
        assert_eq!(taken, 1);
    }
}
