//! The queries, and the composite indexes that they need in production. The emulator does not require indexes, so only
//! [`needed_indexes`] reveals a missing one.

use firestore::{
    FirestoreDb, FirestoreQueryCursor, FirestoreQueryDirection, FirestoreQueryFilter,
    FirestoreQueryFilterCompare, FirestoreQueryFilterComposite, FirestoreQueryFilterCompositeOperator,
    FirestoreQueryParams, FirestoreReference, FirestoreResult, FirestoreTimestamp, FirestoreValue,
};
use gcloud_sdk::google::firestore::v1::{Document, RunQueryRequest, run_query_request::QueryType};
use jiff::Timestamp;

use super::StoreError;
use crate::{
    adapters::documents::{EXPORTS, TRAINING_JOBS},
    domain::{CallerLimits, HistoryCursor, JobId, TrainingJob, UserId},
};

/// The field of a document's name, by which every index ends in the direction of its last field.
const NAME: &str = "__name__";

/// The fields that show whether an export counts for the limits of its caller.
const COUNTED_FIELDS: &[&str] = &["job_id", "type", "status", "started_at", "updated_at", "lease_until"];

/// The number of exports that are read to find the latest one that can be parsed.
const CANDIDATES: u32 = 5;

/// When documents were read: seconds and nanoseconds since 1970, by the clock of the database.
pub(super) type ReadTime = (i64, i32);

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
    let counted = [CallerLimits { running: 1, daily: 0 }, CallerLimits { running: 0, daily: 1 }];
    let counted = counted.into_iter().map(|limits| DocumentQuery::counted_of_user("", limits));
    [DocumentQuery::completed_of_owner(""), DocumentQuery::latest_of_job("")]
        .into_iter()
        .chain(counted)
        .filter_map(|query| query.index())
        .collect()
}

/// Documents whose fields equal given values; optionally only the newest ones.
pub(super) struct DocumentQuery<'a> {
    collection: &'static str,
    equal: Vec<(&'static str, &'a str)>,
    newest: Option<NewestFirst>,
    /// The fields to read; `None` for all.
    fields: Option<&'static [&'static str]>,
}

struct NewestFirst {
    by: &'static str,
    limit: u32,
    /// Only documents after this one.
    after: Option<FirestoreQueryCursor>,
    /// Skips times that are stored as strings. Firestore sorts all strings after all timestamps.
    timestamps_only: bool,
}

impl<'a> DocumentQuery<'a> {
    pub(super) fn completed_of(owner: &'a UserId) -> Self {
        Self::completed_of_owner(owner.as_str())
    }

    fn completed_of_owner(owner: &'a str) -> Self {
        let equal = vec![("user_id", owner), ("status", TrainingJob::COMPLETED)];
        Self { collection: TRAINING_JOBS, equal, newest: None, fields: None }
    }

    pub(super) fn latest(job: &'a JobId) -> Self {
        Self::latest_of_job(job.as_str())
    }

    fn latest_of_job(job: &'a str) -> Self {
        let newest = NewestFirst { by: "started_at", limit: CANDIDATES, after: None, timestamps_only: false };
        Self { collection: EXPORTS, equal: vec![("job_id", job)], newest: Some(newest), fields: None }
    }

    /// Exports whose start is stored as a string, which this service does not write, are not among them.
    pub(super) fn history(job: &'a JobId, after: Option<FirestoreQueryCursor>, limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let newest = NewestFirst { by: "started_at", limit, after, timestamps_only: true };
        Self {
            collection: EXPORTS,
            equal: vec![("job_id", job.as_str())],
            newest: Some(newest),
            fields: None,
        }
    }

    /// The exports that count for the limits of a caller: the newest ones, at least as many as may start in a day; or, if
    /// only the running ones are limited, those.
    pub(super) fn counted(user: &'a UserId, limits: CallerLimits) -> Self {
        Self::counted_of_user(user.as_str(), limits)
    }

    fn counted_of_user(user: &'a str, limits: CallerLimits) -> Self {
        let (mut equal, mut newest) = (vec![("user_id", user)], None);
        if limits.daily > 0 {
            newest = Some(NewestFirst {
                by: "started_at",
                limit: limits.daily,
                after: None,
                timestamps_only: false,
            });
        } else {
            equal.push(("status", "running"));
        }
        Self { collection: EXPORTS, equal, newest, fields: Some(COUNTED_FIELDS) }
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

    pub(super) async fn run(&self, db: &FirestoreDb) -> FirestoreResult<Vec<Document>> {
        let FirestoreQueryParams { filter, order_by, limit, start_at, .. } = self.params();
        let query = db.fluent().select().from(self.collection).filter(|_| filter.clone());
        let Some(limit) = limit else { return query.query().await };
        let query = query.order(|_| order_by.clone().unwrap_or_default()).limit(limit);
        match start_at {
            Some(cursor) => query.start_at(cursor).query().await,
            None => query.query().await,
        }
    }

    /// The documents, and the time as of which they were read.
    pub(super) async fn run_timed(&self, db: &FirestoreDb) -> Result<(ReadTime, Vec<Document>), StoreError> {
        let request = RunQueryRequest {
            parent: db.get_documents_path().clone(),
            query_type: Some(QueryType::StructuredQuery(self.params().try_into()?)),
            ..RunQueryRequest::default()
        };
        let mut responses = db.client().get().run_query(request).await?.into_inner();
        let (mut earliest, mut found) = (None, Vec::new());
        while let Some(response) = responses.message().await? {
            let at = response.read_time.map(|at| (at.seconds, at.nanos));
            earliest = [earliest, at].into_iter().flatten().min();
            found.extend(response.document);
        }
        Ok((earliest.ok_or(StoreError::Incomplete("the read time"))?, found))
    }

    fn params(&self) -> FirestoreQueryParams {
        let text = |(field, value): &(&str, &str)| {
            FirestoreQueryFilterCompare::Equal((*field).to_owned(), (*value).into())
        };
        let native = self.newest.as_ref().filter(|newest| newest.timestamps_only).map(|newest| {
            let latest = FirestoreTimestamp(Timestamp::MAX).into();
            FirestoreQueryFilterCompare::LessThanOrEqual(newest.by.to_owned(), latest)
        });
        let filters = self.equal.iter().map(text).chain(native);
        let filters = filters.map(|filter| FirestoreQueryFilter::Compare(Some(filter))).collect();
        let all = FirestoreQueryFilterComposite::new(filters, FirestoreQueryFilterCompositeOperator::And);
        let params = FirestoreQueryParams::new(self.collection.into())
            .with_filter(FirestoreQueryFilter::Composite(all))
            .opt_return_only_fields(
                self.fields.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect()),
            );
        let Some(newest) = &self.newest else { return params };
        let order = [newest.by, NAME].map(|by| (by, FirestoreQueryDirection::Descending).into());
        params.with_order_by(order.into()).with_limit(newest.limit).opt_start_at(newest.after.clone())
    }
}

/// The place after an export in a history.
pub(super) fn after_export(db: &FirestoreDb, cursor: HistoryCursor) -> FirestoreQueryCursor {
    let name = format!("{}/{EXPORTS}/{}", db.get_documents_path(), cursor.id);
    FirestoreQueryCursor::AfterValue(vec![
        FirestoreTimestamp(cursor.started_at).into(),
        FirestoreReference(name).into(),
    ])
}

/// The place after a document of a history.
pub(super) fn after_document(found: &Document) -> Option<FirestoreQueryCursor> {
    let started_at = found.fields.get("started_at")?.clone();
    let name = FirestoreReference(found.name.clone()).into();
    Some(FirestoreQueryCursor::AfterValue(vec![FirestoreValue::from(started_at), name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_exports_of_a_job_and_of_a_user_need_a_composite_index() {
        let by = |field| CompositeIndex {
            collection: "exports",
            fields: vec![(field, false), ("started_at", true)],
        };
        assert_eq!(needed_indexes(), [by("job_id"), by("user_id")]);
    }
}
