//! Sends a file to the disk while it is still being written, so that the last sync has little left to wait for.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes written between two syncs.
const STRIDE: u64 = 64 << 20;

/// A thread that syncs a file every now and then. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Flusher {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    since: u64,
}

impl Flusher {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (wake, woken) = sync_channel::<()>(1);
        let sync = move || {
            // a failure comes up again, and is reported, when the file is finished
            while woken.recv().is_ok() && file.sync_data().is_ok() {}
        };
        let thread = thread::Builder::new().name("flush".to_owned()).spawn(sync)?;
        Ok(Self { wake: Some(wake), thread: Some(thread), since: 0 })
    }

    /// Notes that bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.since += bytes as u64;
        if self.since >= STRIDE
            && let Some(wake) = &self.wake
            && wake.try_send(()).is_ok()
        {
            self.since = 0;
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
