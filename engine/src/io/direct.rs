//! Large files written past the page cache.
//!
//! The kernel then neither copies the bytes nor has them to write back at the end: a large file is on its disk sooner,
//! for less processor time, and the cache keeps what other programs have in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

/// What addresses, positions and lengths are multiples of: no disk has larger blocks.
const ALIGNMENT: usize = 4096;
/// Bytes written at a time.
const BUFFER: usize = 2 << 20;
/// Buffers on their way to the disk.
const WAITING: usize = 2;
/// Smaller files are not worth a thread.
const LEAST: u64 = 32 << 20;

/// Writes a file from its beginning to its end, on a thread of its own.
#[derive(Debug)]
pub(super) struct DirectWriter {
    filling: AlignedBuffer,
    full: Option<SyncSender<AlignedBuffer>>,
    empty: Receiver<AlignedBuffer>,
    thread: Option<JoinHandle<io::Result<()>>>,
    written: u64,
}

impl DirectWriter {
    /// `None` for files that are too small, and for file systems that cannot.
    pub(super) fn start(file: &File, size: u64) -> io::Result<Option<Self>> {
        if size < LEAST || !bypass(file, true) {
            return Ok(None);
        }
        let file = file.try_clone()?;
        let (full, waiting) = sync_channel(WAITING);
        let (emptied, empty) = channel();
        let write = move || write(&file, &waiting, &emptied);
        let thread = thread::Builder::new().name("write".to_owned()).spawn(write)?;
        let filling = AlignedBuffer::new();
        Ok(Some(Self { filling, full: Some(full), empty, thread: Some(thread), written: 0 }))
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            bytes = self.filling.take(bytes);
            if self.filling.is_full() {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Waits until everything is written and gives the file its length; does not sync it.
    pub(super) fn finish(mut self, file: &File) -> io::Result<()> {
        self.filling.pad();
        self.send()?;
        self.join()?;
        file.set_len(self.written)
    }

    fn send(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv().unwrap_or_else(|_| AlignedBuffer::new());
        let full = std::mem::replace(&mut self.filling, next);
        match self.full.as_ref().map(|sender| sender.send(full)) {
            Some(Ok(())) => Ok(()),
            // the thread has ended, which it does when it cannot write
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

fn write(file: &File, full: &Receiver<AlignedBuffer>, empty: &Sender<AlignedBuffer>) -> io::Result<()> {
    let mut position = 0;
    while let Ok(mut buffer) = full.recv() {
        match file.write_all_at(buffer.filled(), position) {
            // a file system that has larger blocks, or promised too much
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && bypass(file, false) => {
                file.write_all_at(buffer.filled(), position)?;
            }
            written => written?,
        }
        position += buffer.filled().len() as u64;
        buffer.length = 0;
        // nobody may want it any more
        empty.send(buffer).ok();
    }
    Ok(())
}

/// Turns writing past the cache on or off; says whether that could be done.
#[cfg(target_os = "linux")]
fn bypass(file: &File, on: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let set = |mut flags: OFlags| {
        flags.set(OFlags::DIRECT, on);
        fcntl_setfl(file, flags)
    };
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn bypass(_file: &File, _on: bool) -> bool {
    false
}

/// A buffer that begins at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    fn new() -> Self {
        let bytes = vec![0; BUFFER + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, length: 0 }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }

    fn is_full(&self) -> bool {
        self.length == BUFFER
    }

    /// Takes what it has room for, and leaves the rest.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(BUFFER - self.length));
        let from = self.start + self.length;
        self.bytes[from..from + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
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

    /// A folder on a disk, which the system's temporary one often is not.
    fn folder() -> tempfile::TempDir {
        let program = std::env::current_exe().unwrap();
        tempfile::tempdir_in(program.parent().unwrap()).unwrap()
    }

    /// Bytes that differ from place to place.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    }

    #[test]
    fn what_is_written_in_pieces_of_any_size_is_in_the_file() {
        let folder = folder();
        let path = folder.path().join("a");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let all = bytes(3 * BUFFER + 12_345);
        let Some(mut direct) = DirectWriter::start(&file, LEAST).unwrap() else {
            eprintln!("skipped: the file system below {} has only cached writes", folder.path().display());
            return;
        };
        for piece in
            [1, 4095, 4096, BUFFER - 1, BUFFER + 1, usize::MAX].iter().scan(&all[..], |rest, size| {
                let (piece, after) = rest.split_at(rest.len().min(*size));
                *rest = after;
                Some(piece)
            })
        {
            direct.write(piece).unwrap();
        }
        direct.finish(&file).unwrap();
        assert!(fs::read(&path).unwrap() == all);
    }

    #[test]
    fn an_error_of_the_disk_comes_back() {
        let folder = folder();
        let path = folder.path().join("a");
        fs::write(&path, b"").unwrap();
        // opened for reading: nothing can be written
        let file = File::open(&path).unwrap();
        let Some(mut direct) = DirectWriter::start(&file, LEAST).unwrap() else { return };
        let block = vec![1; BUFFER];
        let error = (0..8).find_map(|_| direct.write(&block).err()).or_else(|| direct.finish(&file).err());
        assert_eq!(error.and_then(|e| e.raw_os_error()), Some(9));
    }

    #[test]
    fn small_files_go_through_the_cache() {
        let file = tempfile::tempfile_in(folder()).unwrap();
        assert!(DirectWriter::start(&file, LEAST - 1).unwrap().is_none());
    }
}
