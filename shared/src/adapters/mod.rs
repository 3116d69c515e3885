//! What stands behind the ports.

pub mod storage;
