//! For tests, here and in the other crates: adapters in memory, fixtures, a mint for tokens, and the suite that
//! every store must pass.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod cloud_run;
pub mod conformance;
mod contract;
mod emulator;
pub mod fixtures;
pub mod http;
pub mod lambda;
pub mod launcher;
pub mod links;
pub mod memory;
pub mod mint;
pub mod process;

pub use emulator::emulator;
pub use launcher::{Outcome, RecordingLauncher};
pub use links::FakeLinks;
pub use memory::MemoryStore;
pub use mint::{FixedKeys, Mint};
