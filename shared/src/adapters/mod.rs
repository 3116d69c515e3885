//! What stands behind the ports.

pub mod documents;
pub mod firestore;
pub mod storage;
