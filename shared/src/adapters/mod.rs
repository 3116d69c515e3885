//! What stands behind the ports.

pub mod cloud_run;
pub mod documents;
pub mod firestore;
pub mod storage;
