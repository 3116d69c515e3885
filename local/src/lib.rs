//! The whole Export Service on one machine. It runs the functions, the job and the engine that production runs, over
//! SQLite, folders and processes instead of Firestore, Cloud Storage and Cloud Run, with a token issuer and a gateway
//! instead of Firebase. It needs no account and no network, and binds to loopback addresses only.
//!
//! ```text
//! cli ─> stack ─┬─> gateway ─HTTP─> functions ─> store, links, launcher
//!               ├─> issuer                                     │ starts
//!               ├─> demo_data, recovery                        v
//!               └─> data_dir                              job_process (this program, as `local job`)
//! ```

mod add;
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
mod token_key;
