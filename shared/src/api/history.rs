//! A page of the exports of a job.

use serde::Serialize;

use super::ExportBody;
use crate::domain::{ExportId, HistoryPage};

/// A page of the exports of a training job, newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = History))]
pub struct HistoryBody {
    exports: Vec<ExportBody>,
    /// `page_token` of the next page; null on the last page.
    next_page_token: Option<ExportId>,
}

impl From<HistoryPage> for HistoryBody {
    fn from(page: HistoryPage) -> Self {
        Self { exports: page.exports.into_iter().map(Into::into).collect(), next_page_token: page.next }
    }
}
