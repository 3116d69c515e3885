//! What was read of the base, hashed in order on a thread of its own.

use std::mem;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use blake3::Hasher;

/// Buffers on their way to the hash.
const WAITING: usize = 2;

/// The hash of what was read of a tensor. BLAKE3, because nobody else has a hash of single tensors to compare with,
/// and it costs a third of a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorDigest {
    pub(crate) bytes: u64,
    /// In lower-case hex.
    pub(crate) blake3: String,
}

/// The sending side.
pub(super) struct DigestThread<'scope> {
    blocks: SyncSender<(Vec<u8>, bool)>,
    spare: Receiver<Vec<u8>>,
    thread: ScopedJoinHandle<'scope, Vec<TensorDigest>>,
}

impl<'scope> DigestThread<'scope> {
    pub(super) fn start<'env>(scope: &'scope Scope<'scope, 'env>) -> Self {
        let (blocks, filled) = sync_channel(WAITING);
        let (emptied, spare) = channel();
        Self { blocks, spare, thread: scope.spawn(move || hash(&filled, &emptied)) }
    }

    /// Takes the next block of a tensor and leaves another buffer in its place.
    pub(super) fn put(&mut self, block: &mut Vec<u8>, last: bool) {
        let block = mem::replace(block, self.spare.try_recv().unwrap_or_default());
        // the other side ends only when it panics, which joining it brings up
        self.blocks.send((block, last)).ok();
    }

    /// The tensors' hashes in their order.
    pub(super) fn finish(self) -> Vec<TensorDigest> {
        drop(self.blocks);
        match self.thread.join() {
            Ok(digests) => digests,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn hash(filled: &Receiver<(Vec<u8>, bool)>, emptied: &Sender<Vec<u8>>) -> Vec<TensorDigest> {
    let (mut digests, mut state, mut bytes) = (Vec::new(), Hasher::new(), 0);
    while let Ok((block, last)) = filled.recv() {
        state.update(&block);
        bytes += block.len() as u64;
        if last {
            let blake3 = state.finalize().to_hex().to_string();
            digests.push(TensorDigest { bytes: mem::take(&mut bytes), blake3 });
            state.reset();
        }
        // nobody may want it any more
        emptied.send(block).ok();
    }
    digests
}
