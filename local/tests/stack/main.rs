//! Tests of the program: they start it, use it over HTTP and kill it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod add;
mod cancel;
mod commands;
mod echoing_hub;
mod equal_exports;
mod kill;
mod plan;
mod process;
mod service_commands;
