//! The function `create`: its router, and its binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;
mod firestore;
mod router;
