//! Pages of the exports of a job.

use std::str::FromStr;

use jiff::Timestamp;

use super::{Export, ExportId};

/// How many exports a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u8);

impl PageSize {
    /// The size of a page that is not asked for.
    pub const DEFAULT: Self = Self(20);
    /// The most exports of a page.
    pub const MAX: u8 = 100;

    /// The largest page.
    pub const LARGEST: Self = Self(Self::MAX);

    /// The number of exports.
    #[must_use]
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// The text is not the size of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 1 to {}", PageSize::MAX)]
pub struct InvalidPageSize;

impl FromStr for PageSize {
    type Err = InvalidPageSize;

    fn from_str(text: &str) -> Result<Self, InvalidPageSize> {
        let size = text.parse().ok().filter(|size| (1..=Self::MAX).contains(size));
        size.map(Self).ok_or(InvalidPageSize)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_to_a_hundred_exports() {
        for (text, size) in [("1", 1), ("20", 20), ("100", 100)] {
            assert_eq!(text.parse::<PageSize>().map(PageSize::get), Ok(size));
        }
        for text in ["", "0", "101", "-1", "x", "1.5", "+7 "] {
            assert_eq!(text.parse::<PageSize>(), Err(InvalidPageSize), "{text}");
        }
    }
}
