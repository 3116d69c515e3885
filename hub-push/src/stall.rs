//! Ends an upload that makes no progress for too long, or is stopped.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hf_hub::progress::{ProgressEvent, ProgressHandler, UploadEvent};

use crate::request::PushMonitor;

/// Time between two checks of an upload.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The time since an upload last made progress.
pub(crate) struct StallDetector {
    monitor: Arc<dyn PushMonitor>,
    last_activity: Mutex<Instant>,
    bytes_done: AtomicU64,
    committing: AtomicBool,
}

/// How a watched upload ended.
pub(crate) enum UploadEnd<T> {
    Finished(T),
    Stalled,
    Stopped,
}

impl StallDetector {
    pub(crate) fn new(monitor: Arc<dyn PushMonitor>) -> Self {
        Self {
            monitor,
            last_activity: Mutex::new(Instant::now()),
            bytes_done: AtomicU64::new(0),
            committing: AtomicBool::new(false),
        }
    }

    pub(crate) fn note_activity(&self) {
        *self.last_activity.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the files are uploaded and the commit is requested.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing.load(Ordering::Relaxed)
    }

    fn idle_time(&self) -> Duration {
        self.last_activity.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Runs `upload` until it ends, makes no progress for `timeout`, or the monitor stops it.
    pub(crate) async fn watch<T>(&self, timeout: Duration, upload: impl Future<Output = T>) -> UploadEnd<T> {
        let mut upload = pin!(upload);
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        loop {
            tokio::select! {
                result = &mut upload => return UploadEnd::Finished(result),
                _ = ticks.tick() => {
                    if self.monitor.is_stopped() {
                        return UploadEnd::Stopped;
                    }
                    if self.idle_time() > timeout {
                        return UploadEnd::Stalled;
                    }
                }
            }
        }
    }
}

/// Passes the client's progress on to a [`StallDetector`] and its monitor.
pub(crate) struct UploadProgress(pub(super) Arc<StallDetector>);

impl ProgressHandler for UploadProgress {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Upload(UploadEvent::Progress { bytes_completed, .. }) = event {
            let before = self.0.bytes_done.swap(*bytes_completed, Ordering::Relaxed);
            if *bytes_completed > before {
                self.0.note_activity();
                self.0.monitor.advance(bytes_completed - before);
            }
        }
        if let ProgressEvent::Upload(UploadEvent::Committing) = event {
            self.0.committing.store(true, Ordering::Relaxed);
        }
    }
}
