//! What stands behind the ports.

pub mod cloud_run;
pub mod documents;
pub mod download_links;
mod federation;
pub mod firebase_keys;
pub mod firestore;
mod http_client;
pub mod list_service;
pub mod storage;
