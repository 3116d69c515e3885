//! The whole Export Service on one machine: the functions, the job and the engine of production, over SQLite, folders
//! and processes in place of Firestore, Cloud Storage and Cloud Run, with a token issuer and a gateway in place of
//! Firebase. No account, no network; everything is bound to loopback.

mod banner;
pub mod cli;
mod data_dir;
mod demo;
mod demo_data;
mod functions;
mod gateway;
mod issuer;
mod job_process;
mod launcher;
mod links;
mod logs;
mod recovery;
mod secret_file;
mod stack;
mod store;
mod terminal;
