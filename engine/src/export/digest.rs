//! The BLAKE3 of each base tensor's bytes, computed as they are read, on a thread of its own.

use std::mem;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use blake3::Hasher;

/// Buffers in the queue.
const QUEUE_LENGTH: usize = 2;

/// The hash of the bytes read of a tensor. BLAKE3 costs a third of SHA-256, and no other tool publishes hashes of single
/// tensors to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorDigest {
    pub(crate) bytes: u64,
    /// In lower-case hex.
    pub(crate) blake3: String,
}

/// The sending side of the thread.
pub(super) struct DigestThread<'scope> {
    chunks: SyncSender<(Vec<u8>, bool)>,
    spare: Receiver<Vec<u8>>,
    thread: ScopedJoinHandle<'scope, Vec<TensorDigest>>,
}

impl<'scope> DigestThread<'scope> {
    pub(super) fn start<'env>(scope: &'scope Scope<'scope, 'env>) -> Self {
        let (chunks, filled) = sync_channel(QUEUE_LENGTH);
        let (emptied, spare) = channel();
        Self { chunks, spare, thread: scope.spawn(move || hash(&filled, &emptied)) }
    }

    /// Takes the next chunk of a tensor, and leaves a spare buffer in its place.
    pub(super) fn put(&mut self, chunk: &mut Vec<u8>, last: bool) {
        let chunk = mem::replace(chunk, self.spare.try_recv().unwrap_or_default());
        // the thread ends early only by a panic, which `finish` resumes
        self.chunks.send((chunk, last)).ok();
    }

    /// The hashes, in the order of the tensors.
    pub(super) fn finish(self) -> Vec<TensorDigest> {
        drop(self.chunks);
        match self.thread.join() {
            Ok(digests) => digests,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn hash(filled: &Receiver<(Vec<u8>, bool)>, emptied: &Sender<Vec<u8>>) -> Vec<TensorDigest> {
    let (mut digests, mut state, mut bytes) = (Vec::new(), Hasher::new(), 0);
    while let Ok((chunk, last)) = filled.recv() {
        state.update(&chunk);
        bytes += chunk.len() as u64;
        if last {
            let blake3 = state.finalize().to_hex().to_string();
            digests.push(TensorDigest { bytes: mem::take(&mut bytes), blake3 });
            state.reset();
        }
        // the receiver may be gone at the end
        emptied.send(chunk).ok();
    }
    digests
}
