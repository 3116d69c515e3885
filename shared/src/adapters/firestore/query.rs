//! The queries, and the composite indexes that production needs for them. The emulator needs none, so nothing but
//! [`needed_indexes`] tells when one is missing.

use firestore::{FirestoreDb, FirestoreResult, FirestoreTimestamp};
use gcloud_sdk::google::firestore::v1::Document;
use jiff::Timestamp;

use crate::{
    adapters::documents::{EXPORTS, TRAINING_JOBS},
    domain::{JobId, TrainingJob, UserId},
};

/// How many exports of a job are read to find the latest that can be read.
const CANDIDATES: u32 = 5;

/// A composite index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index {
    /// The collection it is for.
    pub collection: &'static str,
    /// Its fields in order, and whether each descends.
    pub fields: Vec<(&'static str, bool)>,
}

/// The composite indexes that the queries of this module need, besides those that Firestore makes by itself.
#[must_use]
pub fn needed_indexes() -> Vec<Index> {
    [Query::completed_of_owner(""), Query::latest_of_job("")].iter().filter_map(Query::index).collect()
}

/// Documents with those values, the newest of them if so asked.
pub(super) struct Query<'a> {
    collection: &'static str,
    equal: Vec<(&'static str, &'a str)>,
    newest: Option<Newest>,
}

struct Newest {
    by: &'static str,
    limit: u32,
    /// Passes over times that are stored as text. Text sorts after every timestamp, whatever it says.
    timestamps_only: bool,
}

impl<'a> Query<'a> {
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
        let newest = Newest { by: "started_at", limit: CANDIDATES, timestamps_only: false };
        Self { collection: EXPORTS, equal: vec![("job_id", job)], newest: Some(newest) }
    }

    pub(super) fn with_timestamps_only(mut self) -> Self {
        if let Some(newest) = &mut self.newest {
            newest.timestamps_only = true;
        }
        self
    }

    /// Equality alone is served by the indexes of single fields; an order beside it is not.
    fn index(&self) -> Option<Index> {
        let newest = self.newest.as_ref()?;
        let equal = self.equal.iter().map(|(field, _)| (*field, false));
        Some(Index { collection: self.collection, fields: equal.chain([(newest.by, true)]).collect() })
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
                query.order(|o| o.fields([o.field(newest.by).desc()])).limit(newest.limit).query().await
            }
            None => query.query().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_export_of_a_job_needs_the_one_composite_index() {
        let latest = Index { collection: "exports", fields: vec![("job_id", false), ("started_at", true)] };
        assert_eq!(needed_indexes(), [latest]);
    }
}
