//! What stands behind the ports.

pub mod documents;
pub mod storage;
