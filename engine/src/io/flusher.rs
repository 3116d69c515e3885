//! Syncs a file while it is being written, so that the last sync is short.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes written between two syncs.
const STRIDE: u64 = 64 << 20;

/// A thread that syncs a file every [`STRIDE`] bytes. Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Flusher {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    unsynced: u64,
}

impl Flusher {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (wake, woken) = sync_channel::<()>(1);
        let sync = move || {
            // a failure is reported by the last sync
            while woken.recv().is_ok() && file.sync_data().is_ok() {}
        };
        let thread = thread::Builder::new().name("flush".to_owned()).spawn(sync)?;
        Ok(Self { wake: Some(wake), thread: Some(thread), unsynced: 0 })
    }

    /// Counts bytes that were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.unsynced += bytes as u64;
        if self.unsynced >= STRIDE
            && let Some(wake) = &self.wake
            && wake.try_send(()).is_ok()
        {
            self.unsynced = 0;
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
