//! Whether a folder is the revision of the base model that an adapter was trained on.

use std::path::Path;

use engine::AdapterConfig;

use crate::failure::Failure;
use crate::sources::{OpenSource, SourceName};

/// Refuses a base whose revision is not known to be the one that the adapter's configuration names. It is known of a
/// repository on the Hub, in the Hub's cache (`snapshots/COMMIT`, and `refs/REVISION` beside it), and of a folder that is
/// called `NAME@REVISION`.
pub(crate) fn check(base: &OpenSource, adapter: &AdapterConfig) -> Result<(), Failure> {
    let Some(revision) = &adapter.revision else { return Ok(()) };
    let is_known = match &base.name {
        SourceName::Hub(name) => {
            let is_commit = |commit: &String| revision.len() >= 7 && commit.starts_with(revision);
            name.revision.as_ref() == Some(revision) || base.commit.as_ref().is_some_and(is_commit)
        }
        SourceName::Url(url) => is_named_after(Path::new(url), revision),
        SourceName::Folder(path) => {
            let folder = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            is_named_after(path, revision)
                || is_named_after(&folder, revision)
                || is_snapshot_of(&folder, revision)
        }
    };
    if is_known {
        return Ok(());
    }
    let model = adapter.base_model.as_deref().unwrap_or("the base model");
    Err(Failure::input(format!(
        "adapter_config.json names the revision {revision} of {model}, and {} is not known to be that one: give \
         owner/name@{revision}, or call a folder that is that revision NAME@{revision}",
        base.name
    )))
}

fn is_named_after(folder: &Path, revision: &str) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(&format!("@{}", revision.replace('/', "--"))))
}

/// Whether this is `snapshots/COMMIT` in the Hub's cache, and the revision is that commit or points to it.
fn is_snapshot_of(folder: &Path, revision: &str) -> bool {
    let (Some(commit), Some(snapshots)) =
        (folder.file_name().and_then(|name| name.to_str()), folder.parent())
    else {
        return false;
    };
    if !snapshots.ends_with("snapshots") {
        return false;
    }
    let is_commit = revision.len() >= 7 && commit.starts_with(revision);
    let reference = snapshots.with_file_name("refs").join(revision);
    is_commit || std::fs::read_to_string(reference).is_ok_and(|points_to| points_to.trim() == commit)
}
