//! Tests of the command: they start it on small models.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapter;
mod check;
mod command;
mod hub;
mod imatrix;
mod inputs;
mod max_bytes;
mod outputs;
mod pages;
#[cfg(feature = "push")]
mod push;
mod qat;
mod resume;
mod retries;
mod scripts;
mod service;
mod shell;
mod stores;
mod support;
mod survival;
mod tensor_types;
mod terminal;
mod verify;
