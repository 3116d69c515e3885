//! The common crate of the Export Service: the rules, the ports they need, and the adapters behind the ports.

pub mod adapters;
pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod ports;
pub mod serve;
pub mod service;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
