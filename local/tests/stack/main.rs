//! The program as a whole: started, used over HTTP, killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod commands;
mod kill;
mod process;
