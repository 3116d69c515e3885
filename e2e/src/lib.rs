//! Fake servers for external services, for tests. They listen on loopback, validate requests, and can be configured to
//! fail at each step. And checkpoints that tests of several crates export.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

pub mod cloud_storage;
mod grid;
pub mod hub;

pub use grid::put_on_grid;
