//! Direct I/O: large files written without the page cache.
//!
//! The kernel neither copies the bytes nor writes them back later: a large file is on the disk sooner, for less processor
//! time, and does not displace other files from the cache.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::positioned::{read_exact_at, write_all_at};

/// Addresses, positions and lengths are multiples of this: no disk has larger sectors.
const ALIGNMENT: usize = 4096;
/// Bytes per write.
const BUFFER_SIZE: usize = 2 << 20;
/// Full buffers that wait for the writing thread.
const QUEUE_LENGTH: usize = 2;
/// Smaller files are not worth a thread.
const MIN_FILE_SIZE: u64 = 32 << 20;

/// Writes a file sequentially, on a separate thread.
#[derive(Debug)]
pub(super) struct DirectWriter {
    filling: AlignedBuffer,
    full: Option<SyncSender<AlignedBuffer>>,
    empty: Receiver<AlignedBuffer>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// The bytes that were handed over.
    taken: u64,
    /// The bytes that are in the file.
    written: Arc<AtomicU64>,
}

impl DirectWriter {
    /// Goes on at `position` of a file that will have this size. `None` for files below [`MIN_FILE_SIZE`], and for file
    /// systems without direct I/O.
    pub(super) fn start(file: &File, size: u64, position: u64) -> io::Result<Option<Self>> {
        let aligned = position - position % ALIGNMENT as u64;
        let mut begun = vec![0; (position - aligned) as usize];
        read_exact_at(file, &mut begun, aligned)?;
        if size < MIN_FILE_SIZE || !set_direct(file, true) {
            return Ok(None);
        }
        let file = file.try_clone()?;
        let written = Arc::new(AtomicU64::new(aligned));
        let thread_written = Arc::clone(&written);
        let (full, waiting) = sync_channel(QUEUE_LENGTH);
        let (emptied, empty) = channel();
        let write = move || write(&file, &thread_written, &waiting, &emptied);
        let thread = thread::Builder::new().name("write".to_owned()).spawn(write)?;
        let mut filling = AlignedBuffer::new();
        filling.fill(&begun);
        Ok(Some(Self { filling, full: Some(full), empty, thread: Some(thread), taken: position, written }))
    }

    /// The bytes that are in the file, from its start.
    pub(super) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.taken += bytes.len() as u64;
        while !bytes.is_empty() {
            bytes = self.filling.fill(bytes);
            if self.filling.is_full() {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Waits until everything is written and sets the file's length. Does not sync.
    pub(super) fn finish(mut self, file: &File) -> io::Result<()> {
        self.filling.pad();
        self.send()?;
        self.join()?;
        file.set_len(self.taken)
    }

    fn send(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv().unwrap_or_else(|_| AlignedBuffer::new());
        let full = std::mem::replace(&mut self.filling, next);
        match self.full.as_ref().map(|sender| sender.send(full)) {
            Some(Ok(())) => Ok(()),
            // the thread ends only when a write fails
            Some(Err(_)) | None => self.join().and(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn join(&mut self) -> io::Result<()> {
        drop(self.full.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for DirectWriter {
    fn drop(&mut self) {
        drop(self.full.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn write(
    file: &File,
    written: &AtomicU64,
    full: &Receiver<AlignedBuffer>,
    empty: &Sender<AlignedBuffer>,
) -> io::Result<()> {
    let mut position = written.load(Ordering::Relaxed);
    while let Ok(mut buffer) = full.recv() {
        match write_all_at(file, buffer.filled(), position) {
            // the file system needs a larger alignment, or has no direct I/O after all
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && set_direct(file, false) => {
                write_all_at(file, buffer.filled(), position)?;
            }
            written => written?,
        }
        position += buffer.filled().len() as u64;
        written.store(position, Ordering::Release);
        buffer.length = 0;
        // the receiver may be gone
        empty.send(buffer).ok();
    }
    Ok(())
}

/// Turns direct I/O on or off; returns whether that succeeded.
#[cfg(target_os = "linux")]
fn set_direct(file: &File, on: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let set = |mut flags: OFlags| {
        flags.set(OFlags::DIRECT, on);
        fcntl_setfl(file, flags)
    };
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_file: &File, _on: bool) -> bool {
    false
}

/// A buffer whose address is a multiple of [`ALIGNMENT`].
#[derive(Debug)]
struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    fn new() -> Self {
        let bytes = vec![0; BUFFER_SIZE + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, length: 0 }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }

    fn is_full(&self) -> bool {
        self.length == BUFFER_SIZE
    }

    /// Copies as many bytes as fit; returns the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (copied, rest) = bytes.split_at(bytes.len().min(BUFFER_SIZE - self.length));
        let start = self.start + self.length;
        self.bytes[start..start + copied.len()].copy_from_slice(copied);
        self.length += copied.len();
        rest
    }

    /// Adds zeros up to the next multiple of [`ALIGNMENT`].
    fn pad(&mut self) {
        let length = self.length.next_multiple_of(ALIGNMENT);
        self.bytes[self.start + self.length..self.start + length].fill(0);
        self.length = length;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder on a disk: the system's temporary folder may be in memory.
    fn folder() -> tempfile::TempDir {
        let program = std::env::current_exe().unwrap();
        tempfile::tempdir_in(program.parent().unwrap()).unwrap()
    }

    /// Pseudorandom bytes.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    }

    #[test]
    fn writes_of_any_size_end_up_in_the_file() {
        let folder = folder();
        let path = folder.path().join("a");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let all = bytes(3 * BUFFER_SIZE + 12_345);
        let Some(mut direct) = DirectWriter::start(&file, MIN_FILE_SIZE, 0).unwrap() else {
            eprintln!("skipped: the file system of {} has no direct I/O", folder.path().display());
            return;
        };
        for piece in [1, 4095, 4096, BUFFER_SIZE - 1, BUFFER_SIZE + 1, usize::MAX].iter().scan(
            &all[..],
            |rest, size| {
                let (piece, after) = rest.split_at(rest.len().min(*size));
                *rest = after;
                Some(piece)
            },
        ) {
            direct.write(piece).unwrap();
        }
        direct.finish(&file).unwrap();
        assert!(fs::read(&path).unwrap() == all);
    }

    #[test]
    fn writing_goes_on_behind_what_is_there() {
        let folder = folder();
        let path = folder.path().join("a");
        let all = bytes(BUFFER_SIZE + 12_345);
        for position in [0, 1, 4096, 5000, BUFFER_SIZE + 7] {
            fs::write(&path, &all[..position]).unwrap();
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let Some(mut direct) = DirectWriter::start(&file, MIN_FILE_SIZE, position as u64).unwrap() else {
                return;
            };
            direct.write(&all[position..]).unwrap();
            direct.finish(&file).unwrap();
            assert!(fs::read(&path).unwrap() == all, "{position}");
        }
    }

    #[test]
    fn write_errors_are_returned() {
        let folder = folder();
        let path = folder.path().join("a");
        fs::write(&path, b"").unwrap();
        // opened for reading: nothing can be written
        let file = File::open(&path).unwrap();
        let Some(mut direct) = DirectWriter::start(&file, MIN_FILE_SIZE, 0).unwrap() else { return };
        let chunk = vec![1; BUFFER_SIZE];
        let error = (0..8).find_map(|_| direct.write(&chunk).err()).or_else(|| direct.finish(&file).err());
        assert_eq!(error.and_then(|e| e.raw_os_error()), Some(9));
    }

    #[test]
    fn small_files_use_the_page_cache() {
        let file = tempfile::tempfile_in(folder()).unwrap();
        assert!(DirectWriter::start(&file, MIN_FILE_SIZE - 1, 0).unwrap().is_none());
    }
}
