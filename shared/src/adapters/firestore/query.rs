//! The queries, and the composite indexes that they need in production. The emulator does not require indexes, so only
//! [`needed_indexes`] reveals a missing one.

use firestore::{FirestoreDb, FirestoreQueryCursor, FirestoreReference, FirestoreResult, FirestoreTimestamp};
use gcloud_sdk::google::firestore::v1::Document;
use jiff::Timestamp;

use crate::{
    adapters::documents::{EXPORTS, TRAINING_JOBS},
    domain::{HistoryCursor, JobId, TrainingJob, UserId},
};

/// The field of a document's name, by which every index ends in the direction of its last field.
const NAME: &str = "__name__";

/// The number of exports that are read to find the latest one that can be parsed.
const CANDIDATES: u32 = 5;

/// A composite index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompositeIndex {
    /// The collection.
    pub collection: &'static str,
    /// The fields in order, and whether each is descending.
    pub fields: Vec<(&'static str, bool)>,
}

/// The composite indexes that the queries of this module need. Firestore creates single-field indexes automatically.
#[must_use]
pub fn needed_indexes() -> Vec<CompositeIndex> {
    [DocumentQuery::completed_of_owner(""), DocumentQuery::latest_of_job("")]
        .iter()
        .filter_map(DocumentQuery::index)
        .collect()
}

/// Documents whose fields equal given values; optionally only the newest ones.
pub(super) struct DocumentQuery<'a> {
    collection: &'static str,
    equal: Vec<(&'static str, &'a str)>,
    newest: Option<NewestFirst>,
}

struct NewestFirst {
    by: &'static str,
    limit: u32,
    /// Only documents after this one.
    after: Option<HistoryCursor>,
    /// Skips times that are stored as strings. Firestore sorts all strings after all timestamps.
    timestamps_only: bool,
}

impl<'a> DocumentQuery<'a> {
    pub(super) fn completed_of(owner: &'a UserId) -> Self {
        Self::completed_of_owner(owner.as_str())
    }

    fn completed_of_owner(owner: &'a str) -> Self {
        let equal = vec![("user_id", owner), ("status", TrainingJob::COMPLETED)];
        Self { collection: TRAINING_JOBS, equal, newest: None }
    }

    pub(super) fn latest(job: &'a JobId) -> Self {
        Self::latest_of_job(job.as_str())
    }

    fn latest_of_job(job: &'a str) -> Self {
        let newest = NewestFirst { by: "started_at", limit: CANDIDATES, after: None, timestamps_only: false };
        Self { collection: EXPORTS, equal: vec![("job_id", job)], newest: Some(newest) }
    }

    /// Exports whose start is stored as a string, which this service does not write, are not among them.
    pub(super) fn history(job: &'a JobId, after: Option<HistoryCursor>, limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let newest = NewestFirst { by: "started_at", limit, after, timestamps_only: true };
        Self { collection: EXPORTS, equal: vec![("job_id", job.as_str())], newest: Some(newest) }
    }

    pub(super) fn with_timestamps_only(mut self) -> Self {
        if let Some(newest) = &mut self.newest {
            newest.timestamps_only = true;
        }
        self
    }

    /// Equality filters use single-field indexes; a sort order in addition needs a composite index.
    fn index(&self) -> Option<CompositeIndex> {
        let newest = self.newest.as_ref()?;
        let equal = self.equal.iter().map(|(field, _)| (*field, false));
        Some(CompositeIndex {
            collection: self.collection,
            fields: equal.chain([(newest.by, true)]).collect(),
        })
    }

    fn after(&self, db: &FirestoreDb, cursor: HistoryCursor) -> FirestoreQueryCursor {
        let name = format!("{}/{}/{}", db.get_documents_path(), self.collection, cursor.id);
        FirestoreQueryCursor::AfterValue(vec![
            FirestoreTimestamp(cursor.started_at).into(),
            FirestoreReference(name).into(),
        ])
    }

    pub(super) async fn run(&self, db: &FirestoreDb) -> FirestoreResult<Vec<Document>> {
        let query = db.fluent().select().from(self.collection).filter(|q| {
            let equal = self.equal.iter().map(|(field, value)| q.field(field).eq(*value));
            let native = self
                .newest
                .as_ref()
                .filter(|newest| newest.timestamps_only)
                .map(|newest| q.field(newest.by).less_than_or_equal(FirestoreTimestamp(Timestamp::MAX)));
            q.for_all(equal.chain(native))
        });
        match &self.newest {
            Some(newest) => {
                let query = query.order(|o| o.fields([o.field(newest.by).desc(), o.field(NAME).desc()]));
                let query = match newest.after {
                    Some(after) => query.start_at(self.after(db, after)),
                    None => query,
                };
                query.limit(newest.limit).query().await
            }
            None => query.query().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_export_query_needs_a_composite_index() {
        let latest =
            CompositeIndex { collection: "exports", fields: vec![("job_id", false), ("started_at", true)] };
        assert_eq!(needed_indexes(), [latest]);
    }
}
