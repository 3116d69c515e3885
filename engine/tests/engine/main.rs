//! The public functions of the engine, over small checkpoints.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod check;
mod proof;
mod reference;
mod revision;
