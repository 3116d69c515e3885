//! Exports whose job is gone: they end as failed, so that nothing runs for ever.

use std::path::Path;

use shared::{
    domain::{Export, ExportId, Status, Transition, TransitionError},
    ports::{ApplyError, Exports as _},
};

use crate::{
    data_dir::{Bucket, DataDir},
    store::DocumentStore,
};

/// What people read of an export that was running when its stack ended.
pub(crate) const STACK_STOPPED: &str =
    "The export was interrupted because the local stack stopped: start it again.";

/// Records that the export failed, if it has not ended in whatever way.
///
/// # Errors
/// When the store does not work.
pub(crate) async fn fail_export(store: &DocumentStore, id: ExportId, why: &str) -> Result<(), ApplyError> {
    let Some(export) = store.find(id).await? else { return Ok(()) };
    if export.status != Status::Running {
        return Ok(());
    }
    let fail = |claim| Transition::Fail { claim, message: why.to_owned() };
    let mut ended = store.apply(id, &fail(export.claim)).await;
    if matches!(ended, Err(ApplyError::Refused(TransitionError::LeaseExpired))) {
        ended = store.apply(id, &fail(None)).await;
    }
    match ended {
        Ok(Export { .. }) | Err(ApplyError::Refused(TransitionError::Ended)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ends every export of an earlier stack, and removes what its jobs had half written. To be called when no job is at
/// work any more.
pub(crate) async fn fail_interrupted_exports(store: &DocumentStore, dir: &DataDir) -> anyhow::Result<usize> {
    let running = store.running().await?;
    for export in &running {
        fail_export(store, export.id, STACK_STOPPED).await?;
        tracing::info!(export.id = %export.id, "an export of an earlier stack has ended");
    }
    for bucket in [Bucket::Models, Bucket::Files] {
        remove_partial_files(&dir.bucket(bucket))?;
    }
    Ok(running.len())
}

/// `name#1` is what a file is called until it is whole; no object can be called so.
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
