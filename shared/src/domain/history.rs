//! Pages of the exports of a job.

use jiff::Timestamp;

use super::{Export, ExportId, PageSize};

/// The place of an export in the order of a history: by start, then by id, both descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryCursor {
    /// When it started.
    pub started_at: Timestamp,
    /// Its id.
    pub id: ExportId,
}

impl From<&Export> for HistoryCursor {
    fn from(export: &Export) -> Self {
        Self { started_at: export.started_at, id: export.id }
    }
}

/// A page of the exports of a job, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// The exports.
    pub exports: Vec<Export>,
    /// The last export of this page, if another page follows.
    pub next: Option<ExportId>,
}

impl HistoryPage {
    /// The page after a cursor, of all exports of a job.
    pub fn of(
        exports: impl IntoIterator<Item = Export>,
        after: Option<HistoryCursor>,
        size: PageSize,
    ) -> Self {
        let follows = |export: &Export| after.is_none_or(|after| HistoryCursor::from(export) < after);
        let mut exports: Vec<Export> = exports.into_iter().filter(follows).collect();
        exports.sort_by_key(|export| std::cmp::Reverse(HistoryCursor::from(export)));
        let has_more = exports.len() > size.get();
        exports.truncate(size.get());
        let next = exports.last().map(|export| export.id).filter(|_| has_more);
        Self { exports, next }
    }
}
