//! The adapters of Google's services, the HTTP server and the OpenAPI document.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cloud_run;
mod firestore;
mod openapi;
mod serving;
