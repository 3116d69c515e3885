//! The whole Export Service on one machine.

mod data_dir;
mod demo_data;
mod gateway;
mod interrupted;
mod issuer;
mod launcher;
mod links;
mod secret_file;
pub mod store;
