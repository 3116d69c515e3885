//! Stand-ins for the services outside, for tests of this service against them. They listen on loopback, check what
//! they are told, and can be made to fail at each step.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

pub mod hub;
