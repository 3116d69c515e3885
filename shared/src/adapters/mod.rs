//! Adapters: the implementations of the ports, and the only modules that use cloud SDKs.

pub mod aes_key;
pub mod cloud_run;
pub mod documents;
pub mod download_links;
mod federation;
pub mod firebase_keys;
pub mod firestore;
mod google_api;
mod http_client;
pub mod kms;
pub mod list_service;
pub mod storage;
