//! One job, and how its latest export stands.

use jiff::Timestamp;

use crate::{
    domain::{Artifact, ArtifactKind, Error, Export, JobId, Result, TrainingJob, UserId, Variant},
    ports::{DownloadLinks, Exports, TrainingJobs},
};

/// A job with the links that its owner may open, and its latest export.
#[derive(Debug)]
pub struct JobWithExport {
    /// The job.
    pub job: TrainingJob,
    /// For every file that can be downloaded now: the file, with the link as its path.
    pub downloads: Vec<Artifact>,
    /// The latest export, as it is now.
    pub latest: Option<Export>,
}

/// The caller's job of that id. A link that cannot be made is logged and left out: the rest is still worth having.
///
/// # Errors
/// No such job, not the caller's, or the store does not work; in that order.
pub async fn get(
    jobs: &dyn TrainingJobs,
    exports: &dyn Exports,
    links: &dyn DownloadLinks,
    caller: &UserId,
    id: &JobId,
    now: Timestamp,
) -> Result<JobWithExport> {
    // The export first: its job has the artifacts before it is completed, so an answer that says completed has them.
    let latest = exports.latest(id).await;
    let job = jobs.find(id).await?.ok_or_else(|| Error::NoSuchJob(id.clone()))?;
    job.owned_by(caller)?;
    let latest = latest?.map(|export| export.at(now));
    let (adapter, merged, gguf) = tokio::join!(
        download(links, &job, ArtifactKind::Adapter),
        download(links, &job, ArtifactKind::Merged),
        download(links, &job, ArtifactKind::Gguf),
    );
    let downloads = [adapter, merged, gguf].into_iter().flatten().collect();
    Ok(JobWithExport { job, downloads, latest })
}

async fn download(links: &dyn DownloadLinks, job: &TrainingJob, kind: ArtifactKind) -> Option<Artifact> {
    let path = job.artifacts.path(Variant::File, kind)?;
    match links.link(path).await {
        Ok(link) => link.map(|path| Artifact { kind, path, variant: Variant::File }),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, job.id = %job.id, artifact.kind = kind.as_str(), "no download link");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        adapters::documents::{self, EXPORTS, TRAINING_JOBS},
        clock,
        domain::Status,
        testing::{FakeLinks, MemoryStore, fixtures},
    };

    fn store() -> MemoryStore {
        let store = MemoryStore::default();
        let mut job = fixtures::training_job(fixtures::ADA);
        job["artifacts"]["file"] =
            json!({"gguf": "gs://files/job-1/model.gguf", "merged": "gs://elsewhere/x"});
        store.put(TRAINING_JOBS, fixtures::JOB, job);
        store
    }

    async fn get_as(store: &MemoryStore, links: &FakeLinks, uid: &str) -> Result<JobWithExport> {
        let id = fixtures::job_id(fixtures::JOB);
        get(store, store, links, &fixtures::user(uid), &id, clock::now()).await
    }

    #[tokio::test]
    async fn the_owner_gets_the_job_with_links_to_its_files() {
        let answer = get_as(&store(), &FakeLinks::default(), fixtures::ADA).await.unwrap();
        let links: Vec<_> = answer.downloads.iter().map(|a| (a.kind, a.path.as_str())).collect();
        assert_eq!(links, [(ArtifactKind::Gguf, "https://files.test/job-1/model.gguf?signed")]);
        assert!(answer.latest.is_none());
    }

    #[tokio::test]
    async fn a_broken_signer_costs_the_links_only() {
        let links = FakeLinks::default();
        links.break_down();
        let answer = get_as(&store(), &links, fixtures::ADA).await.unwrap();
        assert!(answer.downloads.is_empty());
    }

    #[tokio::test]
    async fn nobody_else_gets_it_even_while_exports_are_down() {
        let store = store();
        store.fail_next("latest", 1);
        let result = get_as(&store, &FakeLinks::default(), fixtures::BOB).await;
        assert!(matches!(result, Err(Error::NotOwner)), "{result:?}");
    }

    #[tokio::test]
    async fn a_job_that_names_no_owner_is_nobodys() {
        let store = store();
        store.put(TRAINING_JOBS, fixtures::JOB, json!({"status": "completed"}));
        let result = get_as(&store, &FakeLinks::default(), fixtures::ADA).await;
        assert!(matches!(result, Err(Error::NotOwner)), "{result:?}");
    }

    #[tokio::test]
    async fn an_export_that_nobody_works_on_any_more_is_failed() {
        let store = store();
        let abandoned = fixtures::export();
        store.put(EXPORTS, fixtures::EXPORT, documents::create(&abandoned));
        let id = fixtures::job_id(fixtures::JOB);
        let late = abandoned.lease_until.unwrap() + jiff::SignedDuration::from_secs(1);
        let caller = fixtures::user(fixtures::ADA);
        let answer = get(&store, &store, &FakeLinks::default(), &caller, &id, late).await.unwrap();
        assert_eq!(answer.latest.unwrap().status, Status::Failed);
    }
}
