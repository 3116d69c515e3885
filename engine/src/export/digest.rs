//! The BLAKE3 of each base tensor's bytes, computed as they are read, on a thread of its own.

use std::mem;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use blake3::Hasher;
use serde::{Deserialize, Serialize};

use super::unit_record::{UnitRecord, WrittenUnit};

/// Buffers in the queue.
const QUEUE_LENGTH: usize = 2;

/// The hash of the bytes read of a tensor. BLAKE3 costs a third of SHA-256, and no other tool publishes hashes of single
/// tensors to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TensorDigest {
    pub(crate) bytes: u64,
    /// In lower-case hex.
    pub(crate) blake3: String,
}

/// What the thread is given.
enum DigestInput {
    /// The next bytes of a tensor.
    Chunk(Vec<u8>),
    /// The end of a unit, whose tensor's hash is missing.
    End(WrittenUnit),
}

/// The sending side of the thread.
pub(super) struct DigestThread<'scope> {
    inputs: SyncSender<DigestInput>,
    spare: Receiver<Vec<u8>>,
    thread: ScopedJoinHandle<'scope, Vec<UnitRecord>>,
}

impl<'scope> DigestThread<'scope> {
    /// Finished units, with their hashes, are also sent to the `journal`.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        journal: Option<Sender<WrittenUnit>>,
    ) -> Self {
        let (inputs, received) = sync_channel(QUEUE_LENGTH);
        let (emptied, spare) = channel();
        Self { inputs, spare, thread: scope.spawn(move || hash(&received, &emptied, journal.as_ref())) }
    }

    /// Takes the next chunk of a tensor, and leaves a spare buffer in its place.
    pub(super) fn put(&mut self, chunk: &mut Vec<u8>) {
        let chunk = mem::replace(chunk, self.spare.try_recv().unwrap_or_default());
        // the thread ends early only by a panic, which `finish` resumes
        self.inputs.send(DigestInput::Chunk(chunk)).ok();
    }

    /// Ends a unit.
    pub(super) fn end(&mut self, unit: WrittenUnit) {
        self.inputs.send(DigestInput::End(unit)).ok();
    }

    /// The finished units, with the hashes of their tensors.
    pub(super) fn finish(self) -> Vec<UnitRecord> {
        drop(self.inputs);
        match self.thread.join() {
            Ok(records) => records,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn hash(
    inputs: &Receiver<DigestInput>,
    emptied: &Sender<Vec<u8>>,
    journal: Option<&Sender<WrittenUnit>>,
) -> Vec<UnitRecord> {
    let (mut records, mut state, mut bytes) = (Vec::new(), Hasher::new(), 0);
    while let Ok(input) = inputs.recv() {
        match input {
            DigestInput::Chunk(chunk) => {
                state.update(&chunk);
                bytes += chunk.len() as u64;
                // the receiver may be gone at the end
                emptied.send(chunk).ok();
            }
            DigestInput::End(mut unit) => {
                if let Some(tensor) = &mut unit.record.tensor {
                    let blake3 = state.finalize().to_hex().to_string();
                    tensor.base = Some(TensorDigest { bytes: mem::take(&mut bytes), blake3 });
                    state.reset();
                }
                records.push(unit.record.clone());
                if let Some(journal) = journal {
                    // its thread ends at its first error
                    journal.send(unit).ok();
                }
            }
        }
    }
    records
}
