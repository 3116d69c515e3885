//! The rules. They know domain and ports, and nothing of HTTP or of any cloud.

pub mod create;
pub mod get;
pub mod list;
