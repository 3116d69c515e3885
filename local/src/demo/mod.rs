//! The demo: what a person would do with curl, as user ada, and a look into every file that comes out. It ends well
//! only if everything that it shows was checked.

mod client;
mod steps;
mod verify;

use std::time::Instant;

use crate::{stack::LocalStack, terminal};
use client::ApiClient;
use shared::domain::ArtifactKind;

/// The job whose base model is large enough to watch.
const JOB: &str = "ada-sonnets-1b";
/// The job whose adapter is cut short.
const BROKEN: &str = "ada-broken";

/// Runs the whole demo.
///
/// # Errors
/// When the service does not do what it should, or a file is not what it should be.
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
    terminal::heading("What it says when something is wrong");
    steps::request_is_refused(&nobody, &format!("/exports/{JOB}"), 401).await?;
    steps::request_is_refused(&ben, &format!("/exports/{JOB}"), 403).await?;
    steps::export_fails(&ada, BROKEN, ArtifactKind::Merged).await?;
    terminal::line("");
    terminal::success(&format!(
        "Everything shown here was checked, in {:.1} s.",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}
