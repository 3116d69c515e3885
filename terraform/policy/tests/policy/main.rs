//! Tests of the deployment without a cloud: the real Terraform applies it with fake providers, and rules check the
//! resulting state. Every rule is also checked on mutants of the code, and must fail for them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod advice;
mod aws;
mod calls;
mod canary;
mod deploy_page;
mod hosting;
mod interruptions;
mod newcomer;
mod packaging;
mod plugin;
mod refusals;
mod rehearsal;
mod released_rules;
mod rules;
mod security_rules;
mod settings;
mod source;
