//! What holds at every moment of a simulation, and at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{FutureExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::{
    adapters::documents,
    clock,
    domain::{Artifact, Export, ExportId, FailureCode, Stage, Status},
};

use crate::{clients::LIMITS, schedule::MAX_DRIFT, world::World};

/// The files of each kind of artifact and its quantization types, with their hashes.
pub(crate) type Contents = BTreeMap<String, Vec<(String, String)>>;

/// What was seen so far.
pub(crate) struct Rules {
    world: Arc<World>,
    records: BTreeMap<ExportId, Export>,
    manifests: BTreeMap<String, Value>,
    /// URLs by training job, variant and kind.
    artifacts: BTreeMap<String, String>,
}

impl Rules {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            records: BTreeMap::new(),
            manifests: BTreeMap::new(),
            artifacts: BTreeMap::new(),
        }
    }

    /// Checks what holds at every moment, after `what` happened.
    pub(crate) fn check(&mut self, what: &str) {
        assert_eq!(self.world.schedule.broken_rules(), Vec::<String>::new());
        match what {
            "put" | "put new" | "replace" | "delete" => self.check_manifests(),
            "set artifact" => self.check_artifacts_of_jobs(),
            "create" | "claim" | "launched" | "progress" | "complete" | "fail" | "cancel" => {
                self.check_records();
            }
            // what was under way may have happened
            "death" => {
                self.check_records();
                self.check_manifests();
                self.check_artifacts_of_jobs();
            }
            _ => {}
        }
    }

    fn check_records(&mut self) {
        let now = clock::now();
        let records = self.stored_records();
        for (id, record) in &records {
            match self.records.get(id) {
                None => {
                    let sure = now + MAX_DRIFT;
                    let running = self.records.values().filter(|other| {
                        other.status == Status::Running && other.lease_until.is_some_and(|until| until > sure)
                    });
                    let running = running.count();
                    assert!(running < LIMITS.running as usize, "{running} exports ran when {id} was created");
                }
                Some(before) if before.status != Status::Running => {
                    assert_eq!(before, record, "an export changed after its end");
                }
                Some(_) => {}
            }
            if record.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::Cancelled) {
                assert!(record.artifacts.is_empty(), "a cancelled export has artifacts");
            }
            let unique: BTreeSet<_> = record.artifacts.iter().map(|artifact| &artifact.path).collect();
            assert_eq!(unique.len(), record.artifacts.len(), "an artifact twice: {:?}", record.artifacts);
        }
        self.records = records;
    }

    fn stored_records(&self) -> BTreeMap<ExportId, Export> {
        let documents = self.world.store.documents("exports").into_iter();
        documents
            .map(|(id, document)| (id.parse().unwrap(), documents::export(&id, &document).unwrap()))
            .collect()
    }

    /// A manifest never changes, and all of its files are there.
    fn check_manifests(&mut self) {
        for bucket in ["models", "files"] {
            let objects = self.objects(bucket);
            let is_manifest = |name: &&String| name.contains("/published/") && name.ends_with(".json");
            for name in objects.keys().filter(is_manifest) {
                let full_name = format!("{bucket}/{name}");
                let manifest: Value = serde_json::from_slice(&self.read(bucket, name)).unwrap();
                let job = name.split_once("/published/").unwrap().0;
                for file in manifest["files"].as_array().unwrap() {
                    let path = format!(
                        "{job}/{}/{}",
                        manifest["folder"].as_str().unwrap(),
                        file["name"].as_str().unwrap()
                    );
                    assert_eq!(objects.get(&path), file["size"].as_u64().as_ref(), "{full_name}: {path}");
                }
                match self.manifests.get(&full_name) {
                    Some(before) => assert_eq!(before, &manifest, "{full_name} changed"),
                    None => {
                        self.manifests.insert(full_name, manifest);
                    }
                }
            }
            let gone = self.manifests.keys().filter(|name| name.starts_with(&format!("{bucket}/")));
            for name in gone {
                assert!(objects.contains_key(&name[bucket.len() + 1..]), "{name} is gone");
            }
        }
    }

    /// What a training job's document names is there, and was recorded for an export that could not be cancelled any more.
    fn check_artifacts_of_jobs(&mut self) {
        for (job, document) in self.world.store.documents("training_jobs") {
            for (variant, of_variant) in document["artifacts"].as_object().unwrap() {
                for (kind, url) in of_variant.as_object().unwrap() {
                    let place = format!("{job} {variant} {kind}");
                    let url = url.as_str().unwrap();
                    if self.artifacts.get(&place).is_some_and(|before| before == url) {
                        continue;
                    }
                    let (bucket, path) = url.strip_prefix("gs://").unwrap().split_once('/').unwrap();
                    let objects = self.objects(bucket);
                    assert!(objects.keys().any(|name| name.starts_with(path)), "{place}: {url} is not there");
                    let is_given = (variant.as_str(), kind.as_str()) == ("raw", "adapter");
                    let is_finished = |export: &Export| {
                        let in_finish = export.progress.is_some_and(|now| now.stage == Stage::Finish);
                        export.status == Status::Completed || export.status == Status::Running && in_finish
                    };
                    let mut of_kind = self
                        .records
                        .values()
                        .filter(|export| export.job_id.as_str() == job && export.kind.as_str() == kind);
                    assert!(is_given || of_kind.any(is_finished), "{place} was recorded for no export");
                    self.artifacts.insert(place, url.to_owned());
                }
            }
        }
    }

    /// Checks the results: complete, equal for equal exports in all simulations, with the bytes that their hashes say.
    pub(crate) fn check_end(&self, contents: &mut Contents) {
        for export in self.records.values().filter(|export| export.status == Status::Completed) {
            assert!(!export.artifacts.is_empty(), "{} completed without artifacts", export.id);
            let mut files = Vec::new();
            for (file, url) in export.artifacts.iter().flat_map(Artifact::located_files) {
                let (bucket, path) = url.strip_prefix("gs://").unwrap().split_once('/').unwrap();
                let content = self.read(bucket, path);
                assert_eq!(content.len() as u64, file.bytes, "{url}");
                assert_eq!(hex::encode(Sha256::digest(&content)), file.sha256, "{url}");
                // a report says where its inputs were
                if !file.name.ends_with(".report.json") && !file.name.ends_with(".zip") {
                    files.push((file.name.clone(), file.sha256.clone()));
                }
            }
            let request = format!("{:?} {:?}", export.kind, export.quantizations);
            let expected = contents.entry(request).or_insert_with(|| files.clone());
            assert_eq!(expected, &files, "{:?}", export.kind);
            let job = self.world.store.document("training_jobs", export.job_id.as_str()).unwrap();
            let path = &job["artifacts"]["file"][export.kind.as_str()];
            assert!(path.is_string(), "{}: the training job has no {:?}", export.id, export.kind);
        }
    }

    /// The objects of a bucket with their sizes.
    fn objects(&self, bucket: &str) -> BTreeMap<String, u64> {
        let listed = self.world.buckets[bucket].list(None).try_collect::<Vec<_>>().now_or_never();
        let listed = listed.unwrap().unwrap().into_iter();
        listed.map(|object| (object.location.to_string(), object.size)).collect()
    }

    fn read(&self, bucket: &str, path: &str) -> Vec<u8> {
        let path = path.into();
        let read = async { self.world.buckets[bucket].get(&path).await?.bytes().await };
        read.now_or_never().unwrap().unwrap().into()
    }
}
