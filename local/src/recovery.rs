//! Marks exports as failed whose job has ended without recording it, and removes the files it left.

use std::path::Path;

use shared::{
    domain::{Export, ExportId, Failure, FailureCode, Status, Transition, TransitionError},
    ports::{ApplyError, ExportReader as _, Exports as _},
};

use crate::{
    data_dir::{Bucket, DataDir},
    store::DocumentStore,
};

/// The failure of an export that was running when its stack stopped.
pub(crate) fn stack_stopped() -> Failure {
    let message = "The export was interrupted because the local stack stopped. Start the export again.";
    Failure::new(FailureCode::Interrupted, message)
}

/// Records that the export failed, unless it has ended already.
///
/// # Errors
/// If the store fails.
pub(crate) async fn fail_export(store: &DocumentStore, id: ExportId, why: Failure) -> Result<(), ApplyError> {
    let Some(export) = store.find(id).await? else { return Ok(()) };
    if export.status != Status::Running {
        return Ok(());
    }
    let fail = |claim| Transition::Fail { claim, failure: why.clone() };
    let mut ended = store.apply(id, &fail(export.claim)).await;
    if matches!(ended, Err(ApplyError::Refused(TransitionError::LeaseExpired))) {
        ended = store.apply(id, &fail(None)).await;
    }
    match ended {
        Ok(Export { .. }) | Err(ApplyError::Refused(TransitionError::Ended)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Marks every running export as failed and removes partially written files. Call it only when no job is running.
/// Returns how many exports it marked.
pub(crate) async fn fail_interrupted_exports(store: &DocumentStore, dir: &DataDir) -> anyhow::Result<usize> {
    let running = store.running().await?;
    for export in &running {
        fail_export(store, export.id, stack_stopped()).await?;
        tracing::info!(export.id = %export.id, "marked an export of an earlier stack as failed");
    }
    for bucket in [Bucket::Models, Bucket::Files] {
        remove_partial_files(&dir.bucket(bucket))?;
    }
    Ok(running.len())
}

/// A file is called `name#1` until it is complete; no object may have such a name.
fn remove_partial_files(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_partial_files(&entry.path())?;
        } else if is_partial_file(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_partial_file(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
