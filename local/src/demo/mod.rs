//! The demo: exports a model as user ada, with the requests that one would send with curl, and checks every response and
//! every file.

mod client;
mod steps;
mod verify;

use std::time::Instant;

use crate::{stack::LocalStack, terminal};
use client::ApiClient;
use shared::domain::ArtifactKind;

/// The job whose base model is large enough to show progress.
const JOB: &str = "ada-sonnets-1b";
/// The job whose adapter file is truncated.
const BROKEN: &str = "ada-broken";

/// Runs the whole demo.
///
/// # Errors
/// If a response or a file is not as expected.
pub(crate) async fn run(stack: &LocalStack) -> anyhow::Result<()> {
    let start = Instant::now();
    let ada = ApiClient::new(stack.origin(), Some(stack.token("ada")?))?;
    let ben = ApiClient::new(stack.origin(), Some(stack.token("ben")?))?;
    let nobody = ApiClient::new(stack.origin(), None)?;

    terminal::heading("Demo: ada exports a fine-tuned model");
    steps::health(&nobody).await?;
    steps::list(&ada).await?;
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        steps::export(stack.dir(), &ada, JOB, kind).await?;
    }
    terminal::heading("Errors");
    steps::request_is_refused(&nobody, &format!("/exports/{JOB}"), 401).await?;
    steps::request_is_refused(&ben, &format!("/exports/{JOB}"), 403).await?;
    steps::export_fails(&ada, BROKEN, ArtifactKind::Merged).await?;
    terminal::line("");
    terminal::success(&format!("All checks passed in {:.1} s.", start.elapsed().as_secs_f64()));
    Ok(())
}
