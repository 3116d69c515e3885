//! Gets a job and its latest export.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    as_of,
    links::{self, FileLinks},
    owned_job,
};
use crate::{
    domain::{ArtifactKind, Export, JobId, Result, TrainingJob, UserId, Variant},
    ports::{DownloadLinks, ExportReader, TrainingJobs},
};

/// A job with download links, and its latest export.
#[derive(Debug)]
pub struct JobWithExport {
    /// The job.
    pub job: TrainingJob,
    /// The latest export, with its current status.
    pub latest: Option<Export>,
    /// FileLinks to the files of both.
    pub links: FileLinks,
}

/// The ports that [`get`] uses.
#[derive(Clone, Copy)]
pub struct GetPorts<'a> {
    /// The training jobs.
    pub jobs: &'a dyn TrainingJobs,
    /// Their exports.
    pub exports: &'a dyn ExportReader,
    /// Creates the download links.
    pub links: &'a dyn DownloadLinks,
}

/// The job of `caller` with that id, as of `now`. If a link cannot be created, that is logged and the link is omitted.
///
/// # Errors
/// In this order: the job does not exist, has another owner; or a store fails.
pub async fn get(
    GetPorts { jobs, exports, links }: GetPorts<'_>,
    caller: &UserId,
    id: &JobId,
    now: Timestamp,
) -> Result<JobWithExport> {
    // Read the export before the job: artifacts are stored in the job before the export is completed, so a completed
    // export is never returned without its artifacts.
    let latest = exports.latest(id).await;
    let job = owned_job(jobs, caller, id).await?;
    let latest = latest?.map(|export| as_of(export, now));
    let kinds = [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf];
    let of_job = kinds.into_iter().filter_map(|kind| job.artifacts.path(Variant::File, kind));
    let mut locations: BTreeSet<String> = of_job.map(str::to_owned).collect();
    locations.extend(latest.iter().flat_map(links::files_of));
    let links = links::create(links, locations).await;
    Ok(JobWithExport { job, latest, links })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        adapters::documents::{self, EXPORTS, TRAINING_JOBS},
        clock,
        domain::{Error, Status, Transition},
        testing::{FakeLinks, MemoryStore, fixtures, http::CapturedLogs},
    };

    fn store() -> MemoryStore {
        let store = MemoryStore::default();
        let mut job = fixtures::training_job(fixtures::ADA);
        job["artifacts"]["file"] =
            json!({"gguf": "gs://files/job-1/model.gguf", "merged": "gs://elsewhere/x"});
        store.put(TRAINING_JOBS, fixtures::JOB, job);
        store
    }

    fn ports<'a>(store: &'a MemoryStore, links: &'a FakeLinks) -> GetPorts<'a> {
        GetPorts { jobs: store, exports: store, links }
    }

    async fn get_as(store: &MemoryStore, links: &FakeLinks, uid: &str) -> Result<JobWithExport> {
        let id = fixtures::job_id(fixtures::JOB);
        get(ports(store, links), &fixtures::user(uid), &id, clock::now()).await
    }

    #[tokio::test]
    async fn the_owner_gets_the_job_with_links_to_its_files() {
        let found = get_as(&store(), &FakeLinks::default(), fixtures::ADA).await.unwrap();
        let link = |kind| found.links.get(found.job.artifacts.path(Variant::File, kind).unwrap());
        assert_eq!(link(ArtifactKind::Gguf), Some("https://files.test/job-1/model.gguf?signed"));
        assert_eq!(link(ArtifactKind::Merged), None);
        assert!(found.latest.is_none());
    }

    #[tokio::test]
    async fn if_signing_fails_only_the_links_are_missing() {
        let links = FakeLinks::default();
        links.set_failing();
        let found = get_as(&store(), &links, fixtures::ADA).await.unwrap();
        assert_eq!(found.links.get("gs://files/job-1/model.gguf"), None);
    }

    #[tokio::test]
    async fn another_user_is_rejected_even_if_the_exports_cannot_be_read() {
        let store = store();
        store.fail_next("latest", 1);
        let result = get_as(&store, &FakeLinks::default(), fixtures::BOB).await;
        assert!(matches!(result, Err(Error::NotOwner)), "{result:?}");
    }

    #[tokio::test]
    async fn a_job_without_an_owner_is_rejected() {
        let store = store();
        store.put(TRAINING_JOBS, fixtures::JOB, json!({"status": "completed"}));
        let result = get_as(&store, &FakeLinks::default(), fixtures::ADA).await;
        assert!(matches!(result, Err(Error::NotOwner)), "{result:?}");
    }

    #[tokio::test]
    async fn an_export_with_an_expired_lease_is_failed() {
        let store = store();
        let abandoned = fixtures::export();
        store.put(EXPORTS, fixtures::EXPORT, documents::create(&abandoned));
        let id = fixtures::job_id(fixtures::JOB);
        let late = abandoned.lease_until.unwrap() + jiff::SignedDuration::from_secs(1);
        let caller = fixtures::user(fixtures::ADA);
        let found = get(ports(&store, &FakeLinks::default()), &caller, &id, late).await.unwrap();
        assert_eq!(found.latest.unwrap().status, Status::Failed);
    }

    #[tokio::test]
    async fn an_expired_lease_is_logged_while_it_is_recent_and_an_end_is_not() {
        let (store, log) = (store(), CapturedLogs::default());
        let _guard = log.capture();
        let abandoned = fixtures::export();
        store.put(EXPORTS, fixtures::EXPORT, documents::create(&abandoned));
        let (id, caller) = (fixtures::job_id(fixtures::JOB), fixtures::user(fixtures::ADA));
        let expiry = abandoned.lease_until.unwrap();
        let mut counts = Vec::new();
        for seconds in [0, 60, 2 * 3600] {
            let now = expiry + jiff::SignedDuration::from_secs(seconds);
            get(ports(&store, &FakeLinks::default()), &caller, &id, now).await.unwrap();
            counts.push(log.text().matches("the lease of an export expired").count());
        }
        let failure = Transition::Fail { claim: None, failure: fixtures::failure("lost") };
        store.put(EXPORTS, fixtures::EXPORT, documents::create(&abandoned.apply(&failure, expiry).unwrap()));
        let now = expiry + jiff::SignedDuration::from_secs(60);
        get(ports(&store, &FakeLinks::default()), &caller, &id, now).await.unwrap();
        counts.push(log.text().matches("the lease of an export expired").count());
        assert_eq!(counts, [0, 1, 1, 1]);
    }
}
