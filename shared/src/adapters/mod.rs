//! Adapters: the implementations of the ports, and the only modules that use cloud SDKs.

pub mod aes_key;
#[cfg(feature = "google")]
pub mod cloud_run;
pub mod documents;
#[cfg(feature = "google")]
pub mod download_links;
#[cfg(feature = "google")]
mod federation;
pub mod firebase_keys;
#[cfg(feature = "google")]
pub mod firestore;
#[cfg(feature = "google")]
mod google_api;
mod http_client;
#[cfg(feature = "google")]
pub mod identity_tokens;
#[cfg(feature = "google")]
pub mod kms;
pub mod list_service;
pub mod storage;
#[cfg(feature = "google")]
pub mod tls;
