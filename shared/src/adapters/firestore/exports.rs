//! `exports`. Times that others order by are the server's; leases are by our own clock.

use std::time::Duration;

use async_trait::async_trait;
use firestore::{
    FirestoreConsistencySelector, FirestoreDb, FirestoreTransaction, FirestoreTransactionMode,
    FirestoreTransactionOps, FirestoreTransactionOptions, FirestoreTransactionResponse,
    timestamp_utils::from_timestamp,
};
use gcloud_sdk::google::firestore::v1::{Document, value::ValueType};
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    Failure, Firestore, in_time,
    query::Query,
    training_jobs::id,
    write::{DocumentWrite, document},
};
use crate::{
    adapters::documents::{self, DocumentError, EXPORTS, ExportDocument, changed_fields},
    clock,
    domain::{Export, ExportId, JobId, Transition},
    ports::{ApplyError, Exports, PortError},
};

const UPDATED_AT: &str = "updated_at";
const FINISHED_AT: &str = "finished_at";
/// How long a transaction that gave way waits before it runs again: a little longer each time, at most this.
const LONGEST_WAIT: Duration = Duration::from_millis(800);

#[async_trait]
impl Exports for Firestore {
    async fn create(&self, export: &Export) -> Result<(), PortError> {
        in_time(async {
            let db = self.db().await?;
            let fields = FirestoreDb::serialize_to_doc("", &ExportDocument::from(export))?.fields;
            let document = document(db, EXPORTS, &export.id.to_string(), fields);
            DocumentWrite::create(document).with_server_times(&["started_at", UPDATED_AT]).commit(db).await
        })
        .await
        .map_err(Into::into)
    }

    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
        in_time(async {
            let db = self.db().await?;
            let found = db.fluent().select().by_id_in(EXPORTS).one(id.to_string()).await?;
            Ok(found.as_ref().map(export).transpose()?)
        })
        .await
        .map_err(|failure: Failure| failure.into())
    }

    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
        in_time(async {
            let db = self.db().await?;
            let mut found = Query::latest(job).run(db).await?;
            if found.iter().any(starts_with_text) {
                found.extend(Query::latest(job).with_timestamps_only().run(db).await?);
            }
            let readable =
                found.iter().filter_map(|found| export(found).inspect_err(documents::log_unreadable).ok());
            Ok(readable.max_by_key(|export| export.started_at))
        })
        .await
        .map_err(|failure: Failure| failure.into())
    }

    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
        in_time(async {
            let db = self.db().await?;
            let mut mode = FirestoreTransactionMode::ReadWrite;
            let mut wait = Duration::from_millis(50);
            loop {
                let options = FirestoreTransactionOptions::new().with_mode(mode);
                let transaction = db.begin_transaction_with_options(options).await.map_err(Failure::from)?;
                // Naming the attempt before keeps this one from starving.
                mode = FirestoreTransactionMode::ReadWriteRetry(transaction.transaction_id().clone());
                match attempt(db, transaction, id, transition).await {
                    Err(failure) if failure.is_contention() => {
                        sleep(wait.mul_f64(jitter())).await;
                        wait = LONGEST_WAIT.min(wait * 2);
                    }
                    result => return result.map_err(ApplyError::from),
                }
            }
        })
        .await
    }
}

/// One run of the transaction: what is read in it is what is written over, or nothing is written.
async fn attempt(
    db: &FirestoreDb,
    mut transaction: FirestoreTransaction<'_>,
    id: ExportId,
    transition: &Transition,
) -> Result<Export, Failure> {
    let inside = FirestoreConsistencySelector::Transaction(transaction.transaction_id().clone());
    let inside = db.clone_with_consistency_selector(inside);
    match prepare(&inside, id, transition).await {
        Ok((after, write, server_times)) => {
            transaction.add(write)?;
            let response = transaction.commit().await?;
            with_server_times(after, &server_times, &response)
        }
        Err(failure) => {
            // Its locks would otherwise stay until the server forgets them.
            if let Err(error) = transaction.rollback().await {
                tracing::debug!(%error, "a transaction was not rolled back");
            }
            Err(failure)
        }
    }
}

async fn prepare(
    db: &FirestoreDb,
    id: ExportId,
    transition: &Transition,
) -> Result<(Export, DocumentWrite, Vec<&'static str>), Failure> {
    let id = id.to_string();
    let found = db.fluent().select().by_id_in(EXPORTS).one(&id).await?.ok_or(Failure::NoDocument)?;
    let stored = export(&found)?;
    let after = stored.clone().apply(transition, clock::now())?;
    let mut masked = changed_fields(&stored, &after);
    let server_times: Vec<_> =
        [UPDATED_AT, FINISHED_AT].into_iter().filter(|time| masked.iter().any(|path| path == time)).collect();
    masked.retain(|path| !server_times.contains(&path.as_str()));
    let mut fields = FirestoreDb::serialize_to_doc("", &ExportDocument::from(&after))?.fields;
    fields.retain(|name, _| masked.iter().any(|path| path.split('.').next() == Some(name)));
    let write =
        DocumentWrite::update(document(db, EXPORTS, &id, fields), masked).with_server_times(&server_times);
    Ok((after, write, server_times))
}

/// The export with the times that the server set.
fn with_server_times(
    mut export: Export,
    fields: &[&str],
    response: &FirestoreTransactionResponse,
) -> Result<Export, Failure> {
    let results = response.write_results.first().map_or(&[][..], |result| &result.transform_results);
    for (index, field) in fields.iter().enumerate() {
        let value = results.get(index).and_then(|result| result.value.value_type.as_ref());
        let Some(ValueType::TimestampValue(time)) = value else {
            return Err(Failure::Incomplete("the server's times"));
        };
        let time: Timestamp = from_timestamp(*time)?;
        match *field {
            UPDATED_AT => export.updated_at = time,
            _ => export.finished_at = Some(time),
        }
    }
    Ok(export)
}

fn export(found: &Document) -> Result<Export, DocumentError> {
    let id = id(found);
    let read: ExportDocument =
        FirestoreDb::deserialize_doc_to(found).map_err(|e| DocumentError::new(EXPORTS, id, e))?;
    read.into_export(id)
}

fn starts_with_text(found: &Document) -> bool {
    let started_at = found.fields.get("started_at").and_then(|value| value.value_type.as_ref());
    matches!(started_at, Some(ValueType::StringValue(_)))
}

/// Between a half and one and a half, so that those who gave way to each other do not meet again.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() as u8;
    0.5 + f64::from(random) / 255.0
}
