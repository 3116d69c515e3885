//! What an export that ended early has kept for `--resume`.

use std::path::Path;

use engine::KeptExport;

/// The bytes on the disk of a folder that an export with this report need not find free: those of the drafts that an earlier
/// run has kept. Without `resume`, these are removed.
pub(crate) fn reusable_bytes(folder: &Path, report: &str, resume: bool) -> u64 {
    let Some(kept) = KeptExport::find(folder, report) else { return 0 };
    if resume {
        return kept.disk_bytes();
    }
    kept.remove();
    0
}

/// The bytes of finished tensors that are kept of an export with this report.
pub(crate) fn kept_bytes(folder: &Path, report: &str) -> Option<u64> {
    KeptExport::find(folder, report).map(|kept| kept.bytes)
}
