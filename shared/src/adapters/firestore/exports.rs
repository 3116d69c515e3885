//! The collection `exports`. Firestore sets `started_at`, `updated_at` and `finished_at` to its own time; leases use the
//! clock of the process.

use async_trait::async_trait;
use firestore::{
    FirestoreDb,
    timestamp_utils::{from_timestamp, to_timestamp},
};
use gcloud_sdk::{
    google::firestore::v1::{CommitResponse, Document, value::ValueType},
    prost_types,
};
use jiff::Timestamp;

use super::{
    Firestore, StoreError, callers,
    query::{DocumentQuery, after_document, after_export},
    retry_delay::RetryDelay,
    training_jobs::document_id,
    within_deadline,
    write::{DocumentWrite, document},
};
use crate::{
    adapters::documents::{self, DocumentError, EXPORTS, ExportDocument, changed_fields},
    clock,
    domain::{
        CallerLimits, CallerQuotas, Export, ExportId, HistoryCursor, HistoryPage, JobId, PageSize,
        Transition, UserId,
    },
    ports::{ApplyError, CreateOutcome, CreatedExport, ExportReader, Exports, PortError},
};

const UPDATED_AT: &str = "updated_at";
const FINISHED_AT: &str = "finished_at";

#[async_trait]
impl ExportReader for Firestore {
    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
        within_deadline(async {
            let db = self.db().await?;
            let found = db.fluent().select().by_id_in(EXPORTS).one(id.to_string()).await?;
            Ok(found.as_ref().map(parse_export).transpose()?)
        })
        .await
        .map_err(|failure: StoreError| failure.into())
    }

    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
        within_deadline(async {
            let db = self.db().await?;
            let mut found = DocumentQuery::latest(job).run(db).await?;
            if found.iter().any(has_string_time) {
                found.extend(DocumentQuery::latest(job).with_timestamps_only().run(db).await?);
            }
            // The server's time has milliseconds; of exports that started in the same one, the last created is the latest.
            found.sort_by_key(|found| found.create_time.map(|time| (time.seconds, time.nanos)));
            Ok(readable(&found).max_by_key(|export| export.started_at))
        })
        .await
        .map_err(|failure: StoreError| failure.into())
    }

    async fn history(
        &self,
        job: &JobId,
        after: Option<HistoryCursor>,
        size: PageSize,
    ) -> Result<HistoryPage, PortError> {
        within_deadline(async {
            let db = self.db().await?;
            let mut place = after.map(|after| after_export(db, after));
            let mut exports: Vec<Export> = Vec::new();
            loop {
                // one more than the page shows whether another follows
                let missing = size.get() + 1 - exports.len();
                let found = DocumentQuery::history(job, place, missing).run(db).await?;
                exports.extend(readable(&found));
                place = found.last().and_then(after_document);
                let is_last = found.len() < missing || place.is_none();
                if is_last || exports.len() > size.get() {
                    return Ok(HistoryPage::of(exports, after, size));
                }
            }
        })
        .await
        .map_err(|failure: StoreError| failure.into())
    }
}

#[async_trait]
impl Exports for Firestore {
    async fn create(&self, export: &Export, limits: CallerLimits) -> Result<CreateOutcome, PortError> {
        let created = within_deadline(async {
            let db = self.db().await?;
            let fields = FirestoreDb::serialize_to_doc("", &ExportDocument::from(export))?.fields;
            let document = document(db, EXPORTS, &export.id.to_string(), fields);
            let write = DocumentWrite::create(document).with_server_times(&["started_at", UPDATED_AT]);
            match &export.user_id {
                Some(user) if limits != CallerLimits::NONE => {
                    callers::create(db, &write, user, export.id, limits).await
                }
                Some(_) | None => {
                    let response = write.commit(db).await?;
                    created(&response, CallerQuotas::default())
                }
            }
        })
        .await;
        match created {
            Err(failure) if failure.is_existing() => Ok(CreateOutcome::Exists),
            created => Ok(created?),
        }
    }

    async fn quotas(&self, user: &UserId, limits: CallerLimits) -> Result<CallerQuotas, PortError> {
        within_deadline(async {
            let found = DocumentQuery::counted(user, limits).run(self.db().await?).await?;
            Ok(CallerQuotas::count(limits, readable(&found), clock::now()))
        })
        .await
        .map_err(|failure: StoreError| failure.into())
    }

    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
        within_deadline(async {
            let db = self.db().await?;
            let mut delay = RetryDelay::default();
            loop {
                match read_and_apply(db, id, transition).await {
                    Err(failure) if failure.is_changed() || failure.is_contention() => delay.wait().await,
                    result => return result.map_err(ApplyError::from),
                }
            }
        })
        .await
    }

    async fn apply_to_created(
        &self,
        export: &Export,
        created: CreatedExport,
        transition: &Transition,
    ) -> Result<(), ApplyError> {
        if let Some(update_time) = created.update_time {
            let applied = within_deadline(async {
                apply_to(self.db().await?, (export, to_timestamp(update_time)), transition).await
            });
            match applied.await {
                Err(failure) if failure.is_changed() || failure.is_contention() => {}
                result => return result.map(drop).map_err(ApplyError::from),
            }
        }
        self.apply(export.id, transition).await.map(drop)
    }
}

/// What is known of an export that this response has created.
pub(super) fn created(response: &CommitResponse, quotas: CallerQuotas) -> Result<CreateOutcome, StoreError> {
    let update_time = response.write_results.first().and_then(|result| result.update_time);
    let update_time = update_time.map(from_timestamp).transpose()?;
    Ok(CreateOutcome::Created(CreatedExport { quotas, update_time }))
}

/// Reads the document and writes the changed one. Fails if it changes in between.
async fn read_and_apply(
    db: &FirestoreDb,
    id: ExportId,
    transition: &Transition,
) -> Result<Export, StoreError> {
    let found = db.fluent().select().by_id_in(EXPORTS).one(id.to_string()).await?;
    let found = found.ok_or(StoreError::NoDocument)?;
    let read = found.update_time.ok_or(StoreError::Incomplete("the time of the last change"))?;
    apply_to(db, (&parse_export(&found)?, read), transition).await
}

/// Writes the changed document. Fails if it has changed since that time.
async fn apply_to(
    db: &FirestoreDb,
    (stored, update_time): (&Export, prost_types::Timestamp),
    transition: &Transition,
) -> Result<Export, StoreError> {
    let after = stored.clone().apply(transition, clock::now())?;
    let mut masked = changed_fields(stored, &after);
    let server_times: Vec<_> =
        [UPDATED_AT, FINISHED_AT].into_iter().filter(|time| masked.iter().any(|path| path == time)).collect();
    masked.retain(|path| !server_times.contains(&path.as_str()));
    let mut fields = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&after))?.fields;
    fields.retain(|name, _| masked.iter().any(|path| path.split('.').next() == Some(name)));
    let write = DocumentWrite::update(document(db, EXPORTS, &stored.id.to_string(), fields), masked)
        .with_server_times(&server_times)
        .if_unchanged_since(Some(update_time));
    let response = write.commit(db).await?;
    with_server_times(after, &server_times, &response)
}

/// Sets the times that the server assigned.
fn with_server_times(
    mut export: Export,
    fields: &[&str],
    response: &CommitResponse,
) -> Result<Export, StoreError> {
    let results = response.write_results.first().map_or(&[][..], |result| &result.transform_results);
    for (index, field) in fields.iter().enumerate() {
        let value = results.get(index).and_then(|result| result.value_type.as_ref());
        let Some(ValueType::TimestampValue(time)) = value else {
            return Err(StoreError::Incomplete("the times that the server assigned"));
        };
        let time: Timestamp = from_timestamp(*time)?;
        match *field {
            UPDATED_AT => export.updated_at = time,
            _ => export.finished_at = Some(time),
        }
    }
    Ok(export)
}

fn parse_export(found: &Document) -> Result<Export, DocumentError> {
    let id = document_id(found);
    let read: ExportDocument =
        FirestoreDb::deserialize_doc_to(found).map_err(|e| DocumentError::new(EXPORTS, id, e))?;
    read.into_export(id)
}

fn has_string_time(found: &Document) -> bool {
    let started_at = found.fields.get("started_at").and_then(|value| value.value_type.as_ref());
    matches!(started_at, Some(ValueType::StringValue(_)))
}

/// The exports of the documents that can be parsed; the others are logged.
pub(super) fn readable(found: &[Document]) -> impl Iterator<Item = Export> {
    found.iter().filter_map(|found| parse_export(found).inspect_err(documents::log_unreadable).ok())
}
