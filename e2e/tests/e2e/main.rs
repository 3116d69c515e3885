//! The release binaries together, and the Hub stand-in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub_stand_in;
mod oauth;
mod service;
mod support;
