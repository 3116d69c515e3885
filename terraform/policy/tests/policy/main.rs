//! The deployment, rehearsed offline: the real Terraform applies it against stand-ins for its providers, and rules look
//! at what is there then. Every rule is also held against mutants of the code, and must catch them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod aws;
mod deploy_page;
mod hosting;
mod packaging;
mod plugin;
mod rehearsal;
mod rules;
mod security_rules;
mod source;
