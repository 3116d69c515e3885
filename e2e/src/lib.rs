//! Fake servers for external services, for tests. They listen on loopback, validate requests, and can be configured to
//! fail at each step.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

pub mod cloud_storage;
pub mod hub;
