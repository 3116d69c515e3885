//! Tests of `demo_data`.

use sha2::{Digest as _, Sha256};
use shared::ports::TrainingJobs as _;

use super::*;

async fn made() -> (tempfile::TempDir, DataDir, DocumentStore) {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let store = DocumentStore::open(&dir.database()).unwrap();
    create(&dir, &store).await.unwrap();
    (temp, dir, store)
}

#[tokio::test]
async fn two_users_have_jobs_of_every_status() {
    let (_temp, dir, store) = made().await;
    let ids = |jobs: Vec<shared::domain::TrainingJob>| -> Vec<String> {
        jobs.iter().map(|job| job.id.to_string()).collect()
    };
    let adas = store.list_completed(&"ada".parse().unwrap()).await.unwrap();
    for job in &adas {
        let url = url::Url::parse(job.adapter_path.as_deref().unwrap()).unwrap();
        assert!(url.to_file_path().unwrap().starts_with(dir.bucket(Bucket::Training)), "{url}");
        assert!(url.to_file_path().unwrap().is_dir(), "{url}");
        let base = job.base_model_id.as_deref().unwrap();
        assert!(dir.bucket(Bucket::BaseModels).join(base).join("config.json").is_file(), "{base}");
    }
    assert_eq!(ids(adas), ["ada-sonnets-1b", "ada-recipes", "ada-assistant-full", "ada-broken"]);
    assert_eq!(ids(store.list_completed(&"ben".parse().unwrap()).await.unwrap()), ["ben-tickets"]);
    for (id, status) in [("ada-in-training", "running"), ("ada-failed", "failed")] {
        assert_eq!(store.find(&id.parse().unwrap()).await.unwrap().unwrap().status, status);
    }
}

#[tokio::test]
async fn every_file_has_the_same_bytes_every_time() {
    let digests = |dir: &DataDir| {
        let mut digests: Vec<(std::path::PathBuf, Vec<u8>)> = Vec::new();
        let mut folders = vec![dir.buckets()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let digest = Sha256::digest(fs::read(&path).unwrap()).to_vec();
                    digests.push((path.strip_prefix(dir.root()).unwrap().to_owned(), digest));
                }
            }
        }
        digests.sort();
        digests
    };
    let (one, two) = (made().await, made().await);
    let (one, two) = (digests(&one.1), digests(&two.1));
    assert!(one.len() > 30);
    assert_eq!(one, two);
}

#[tokio::test]
async fn existing_data_is_kept_and_missing_data_is_created() {
    let (_temp, dir, store) = made().await;
    let mine = dir.bucket(Bucket::BaseModels).join(GEMMA2).join("config.json");
    fs::write(&mine, "mine").unwrap();
    fs::remove_dir_all(dir.bucket(Bucket::Training).join(documents::BENS_ADAPTER)).unwrap();
    create(&dir, &store).await.unwrap();
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    assert!(dir.bucket(Bucket::Training).join(documents::BENS_ADAPTER).join("adapter_config.json").is_file());
    assert!(!dir.drafts().exists());
}
