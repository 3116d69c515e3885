//! Test support for this crate and others: in-memory adapters, fake servers, fixtures, a token signer, and the
//! conformance suite for stores.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod cloud_run;
pub mod conformance;
mod contract;
mod emulator;
pub mod encryption;
pub mod fixtures;
pub mod functions;
pub mod google;
mod grpc;
pub mod http;
pub mod lambda;
pub mod launcher;
pub mod links;
pub mod memory;
pub mod process;
pub mod tokens;

pub use emulator::emulator;
pub use launcher::{LaunchOutcome, RecordingLauncher};
pub use links::FakeLinks;
pub use memory::MemoryStore;
pub use tokens::{FixedKeys, TokenSigner};
