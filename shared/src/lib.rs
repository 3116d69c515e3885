//! The common crate of the Export Service: the rules, the ports they need, and the adapters behind the ports.

pub mod adapters;
pub mod clock;
pub mod domain;
pub mod ports;
pub mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
