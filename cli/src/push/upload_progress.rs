//! Progress of a push, and its interruption by signals.

use std::sync::{Mutex, PoisonError};

use hub_client::RetryMonitor;
use hub_push::PushMonitor;

use crate::progress::{Progress, Unit};
use crate::terminal::Terminal;

/// What a push tells a person.
pub(super) struct PushProgress {
    terminal: Terminal,
    bar: Mutex<Option<UploadBar>>,
}

struct UploadBar {
    progress: Progress,
    done: u64,
    total: u64,
}

impl PushProgress {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, bar: Mutex::default() }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.progress.finish();
        }
    }
}

impl RetryMonitor for PushProgress {
    fn is_stopped(&self) -> bool {
        self.terminal.is_stopped()
    }

    fn begin_wait(&self, message: String) {
        self.terminal.begin_wait(message);
    }

    fn end_wait(&self) {
        self.terminal.end_wait();
    }
}

impl PushMonitor for PushProgress {
    fn begin(&self, message: String, total: u64) {
        self.finish();
        self.terminal.note(&message);
        let progress = Progress::new(self.terminal, "pushing", Unit::Bytes);
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(UploadBar { progress, done: 0, total });
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = &mut *self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.done += bytes;
            bar.progress.set(bar.done, bar.total);
        }
    }
}
