//! Creates exports within the limits of their callers.
//!
//! Each caller has a document in [`CALLERS`], which is written with each export that they start. A commit that creates an
//! export requires that this document is the one that was read, and that the exports were counted after it was written.
//! So nobody starts an export between the count and the commit, without locks that a second transaction would wait for.

use firestore::FirestoreDb;
use sha2::{Digest as _, Sha256};

use super::{
    StoreError,
    exports::{created, readable},
    query::DocumentQuery,
    retry_delay::RetryDelay,
    training_jobs::document_id,
    write::{DocumentWrite, commit, document},
};
use crate::{
    clock,
    domain::{CallerLimits, CallerQuotas, ExportId, UserId},
    ports::CreateOutcome,
};

/// The documents of the callers, by a hash of their user ids, which can have characters that a document id cannot.
const CALLERS: &str = "export_callers";

/// Commits `write`, which creates the export with that id, if its user has fewer exports than `limits`.
pub(super) async fn create(
    db: &FirestoreDb,
    write: &DocumentWrite,
    user: &UserId,
    export: ExportId,
    limits: CallerLimits,
) -> Result<CreateOutcome, StoreError> {
    let caller = hex::encode(Sha256::digest(user.as_str()));
    let (query, id) = (DocumentQuery::counted(user, limits), export.to_string());
    let mut delay = RetryDelay::default();
    loop {
        let caller_document = async { Ok(db.fluent().select().by_id_in(CALLERS).one(&caller).await?) };
        let (counted, seen) = tokio::try_join!(query.run_timed(db), caller_document)?;
        let (read_time, found) = counted;
        if found.iter().any(|found| document_id(found) == id) {
            return Ok(CreateOutcome::Exists);
        }
        let quotas = CallerQuotas::count(limits, readable(&found), clock::now());
        if quotas.is_exhausted() {
            return Ok(CreateOutcome::TooMany(quotas));
        }
        let written = seen.and_then(|document| document.update_time);
        if written.is_none_or(|written| (written.seconds, written.nanos) <= read_time) {
            let fields = FirestoreDb::serialize_to_doc("", &serde_json::json!({"export_id": export}))?.fields;
            let caller = DocumentWrite::create(document(db, CALLERS, &caller, fields))
                .with_server_times(&["updated_at"])
                .if_unchanged_since(written);
            match commit(db, [write.clone(), caller]).await {
                Ok(response) => return created(&response, quotas.with_one_more()),
                // the first two exports of a caller at once; otherwise it is the export that exists
                Err(failure) if failure.is_existing() && written.is_none() => {}
                Err(failure) if failure.is_changed() || failure.is_contention() => {}
                Err(failure) => return Err(failure),
            }
        }
        delay.wait().await;
    }
}
