//! The artifacts of a training job in a bucket. Each is written into a folder of its own, checked, and then published by
//! one write, of the manifest that names the folder:
//!
//! ```text
//! {job_id}/published/{fingerprint}.json       the manifest: folder, files, hashes
//! {job_id}/published/{fingerprint}.maker      who is making the artifact
//! {job_id}/{fingerprint}-{random}/model.gguf  the files
//! ```
//!
//! Published files are never written again. They are removed when their artifact has been replaced and they are older
//! than the longest export, and by the lifecycle rules of the bucket. The folder of an attempt is removed when it failed
//! before the write of its manifest, or when another attempt is published.

use std::{collections::BTreeMap, io, sync::Arc};

use bucket_snapshot::BucketSnapshot;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectMeta;
use shared::{
    clock,
    domain::{ExportId, HubRepo, Proof},
};

use crate::{
    bucket::{Bucket, StoredFile},
    error::JobError,
    manifest::{MakerClaim, Manifest, ManifestFile},
};

/// Largest manifest in bytes; one file takes a few hundred.
const MAX_MANIFEST_SIZE: u64 = 4 << 20;

/// How long replaced files are kept: longer than any export that reads them, and than any link to them is valid.
const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The folder of manifests.
const PUBLISHED: &str = "published";

/// An artifact of a training job, published or not.
pub(crate) struct ArtifactFolder {
    /// The folder of the training job.
    bucket: Bucket,
    artifact: String,
    fingerprint: String,
    base_model: Option<String>,
}

/// What was written for an artifact.
pub(crate) struct NewArtifact {
    pub(crate) files: Vec<ManifestFile>,
    pub(crate) proof: Option<Proof>,
}

/// A published artifact and its files.
pub(crate) struct PublishedArtifact {
    pub(crate) manifest: Manifest,
    pub(crate) bucket: Bucket,
    pub(crate) files: Arc<BucketSnapshot>,
}

impl ArtifactFolder {
    /// `bucket` is the folder of the training job, `fingerprint` that of the artifact's inputs and options.
    pub(crate) fn new(bucket: Bucket, artifact: impl Into<String>, fingerprint: String) -> Self {
        Self { bucket, artifact: artifact.into(), fingerprint, base_model: None }
    }

    /// The same artifact, of which the manifest names the base model.
    pub(crate) fn of_base(self, name: &HubRepo) -> Self {
        Self { base_model: Some(name.to_string()), ..self }
    }

    /// The artifact, if it is published and all of its files are as they were written.
    pub(crate) fn published(&self) -> Result<Option<PublishedArtifact>, JobError> {
        Ok(self.stored_manifest()?.and_then(|(_, published)| published))
    }

    /// A folder for an attempt to make the artifact, by its name below the training job's.
    pub(crate) fn new_folder_name(&self) -> String {
        let random = ExportId::random().to_string();
        format!("{}-{}", self.short_fingerprint(), random.split('-').next().unwrap_or_default())
    }

    /// The folder of that name.
    pub(crate) fn folder(&self, name: &str) -> Result<Bucket, JobError> {
        Ok(self.bucket.join(name)?)
    }

    /// Checks that every file of `new` is in `folder` in its size, and publishes them. If the artifact has been published
    /// meanwhile, that one is returned.
    pub(crate) fn publish(
        &self,
        folder: &str,
        export: ExportId,
        new: NewArtifact,
    ) -> Result<PublishedArtifact, JobError> {
        let manifest = Manifest {
            artifact: self.artifact.clone(),
            fingerprint: self.fingerprint.clone(),
            folder: folder.to_owned(),
            base_model: self.base_model.clone(),
            export_id: export.to_string(),
            made_at: clock::now(),
            files: new.files,
            entity_tags: BTreeMap::new(),
            proof: new.proof,
        };
        let mut published = self.open(manifest)?.map_err(|missing| {
            JobError::Interrupted(format!("{missing} was removed during the export: start the export again"))
        })?;
        published.manifest.entity_tags = entity_tags(&published.files);
        let content = serde_json::to_vec_pretty(&published.manifest).map_err(io::Error::other);
        let content = content.map_err(self.cannot_write())?;
        loop {
            let written = match self.stored_manifest()? {
                None => self.bucket.create(&self.manifest_name(), content.clone()),
                Some((_, Some(earlier))) => return Ok(earlier),
                // its files have been removed
                Some((stale, None)) => self.bucket.replace(&self.manifest_name(), content.clone(), &stale),
            };
            if written.map_err(self.cannot_write())? {
                return Ok(published);
            }
        }
    }

    /// The text of the file that says who is making the artifact.
    pub(crate) fn read_maker(&self) -> Result<Option<StoredFile>, JobError> {
        read(&self.bucket, &self.maker_name())
    }

    /// Writes that file, in place of `old`; returns whether nobody else did meanwhile.
    pub(crate) fn write_maker(&self, content: Vec<u8>, old: Option<&StoredFile>) -> Result<bool, JobError> {
        let name = self.maker_name();
        let written = match old {
            None => self.bucket.create(&name, content),
            Some(old) => self.bucket.replace(&name, content, old),
        };
        written.map_err(self.cannot_write())
    }

    pub(crate) fn remove_maker(&self) {
        log_failure(&self.maker_name(), self.bucket.delete(&self.maker_name()));
    }

    /// Removes an unpublished folder and its files.
    pub(crate) fn remove_folder(&self, name: &str) {
        let removed = self.folder(name).map_err(io::Error::other).and_then(|folder| folder.remove());
        log_failure(name, removed);
    }

    /// Removes older artifacts of this name that nobody reads any more. `in_use` are URLs of files and folders.
    pub(crate) fn remove_outdated(&self, in_use: &[&str]) {
        log_failure(&self.artifact, self.try_remove_outdated(in_use, clock::now()));
    }

    fn try_remove_outdated(&self, in_use: &[&str], now: Timestamp) -> io::Result<()> {
        let is_old = |at: Timestamp| now.duration_since(at) > RETENTION;
        let published = self.bucket.join(PUBLISHED).map_err(io::Error::other)?;
        let (mut named, all) = (Vec::new(), self.bucket.snapshot()?);
        for name in published.snapshot()?.objects().keys() {
            let Some(stored) = published.read(name, MAX_MANIFEST_SIZE)? else { continue };
            // the folder that a maker writes to, or that the next maker removes
            if let Ok(claim) = serde_json::from_slice::<MakerClaim>(&stored.content)
                && name.ends_with(".maker")
            {
                named.push(claim.folder);
                continue;
            }
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&stored.content) else { continue };
            let url = self.bucket.url_of(&manifest.folder).map_err(io::Error::other)?;
            let is_replaced = manifest.artifact == self.artifact && manifest.fingerprint != self.fingerprint;
            let is_in_use = in_use.iter().any(|path| path.starts_with(&url));
            if is_replaced && is_old(manifest.made_at) && !is_in_use {
                // first nobody finds the files any more
                published.delete(name)?;
                self.remove_folder(&manifest.folder);
            }
            named.push(manifest.folder);
        }
        let is_left_over = |folder: &str| is_attempt(folder) && !named.iter().any(|name| name == folder);
        let left_over = folders(&all).into_iter().filter(|(folder, at)| is_left_over(folder) && is_old(*at));
        left_over.for_each(|(folder, _)| self.remove_folder(folder));
        Ok(())
    }

    /// The stored manifest, and the artifact if all of its files are as they were written. A manifest that is not valid JSON has none.
    fn stored_manifest(&self) -> Result<Option<(StoredFile, Option<PublishedArtifact>)>, JobError> {
        let Some(stored) = read(&self.bucket, &self.manifest_name())? else { return Ok(None) };
        let published = match serde_json::from_slice::<Manifest>(&stored.content) {
            Ok(manifest) if manifest.fingerprint == self.fingerprint => self.open(manifest)?.ok(),
            Ok(_) | Err(_) => None,
        };
        Ok(Some((stored, published)))
    }

    /// The files of a manifest; the location of the first that does not exist in its size, or was written again.
    fn open(&self, manifest: Manifest) -> Result<Result<PublishedArtifact, String>, JobError> {
        let bucket = self.folder(&manifest.folder)?;
        let files = bucket.snapshot().map_err(JobError::bucket("list", bucket.location()))?;
        let is_other = |name: &str| {
            let found = files.objects().get(name).and_then(|object| object.e_tag.as_ref());
            manifest.entity_tags.get(name).is_some_and(|tag| found != Some(tag))
        };
        let missing = (manifest.files.iter())
            .find(|file| files.size_of(&file.name) != Some(file.size) || is_other(&file.name));
        Ok(match missing {
            Some(file) => Err(format!("{}/{}", bucket.location(), file.name)),
            None => Ok(PublishedArtifact { manifest, files: Arc::new(files), bucket }),
        })
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The fingerprint in names; manifests have all of it.
    fn short_fingerprint(&self) -> &str {
        self.fingerprint.get(..16).unwrap_or(&self.fingerprint)
    }

    fn manifest_name(&self) -> String {
        manifest_name(self.short_fingerprint())
    }

    fn maker_name(&self) -> String {
        format!("{PUBLISHED}/{}.maker", self.short_fingerprint())
    }

    /// Names the artifact, and not the small files that are kept beside it.
    fn cannot_write(&self) -> impl FnOnce(io::Error) -> JobError + use<> {
        JobError::bucket("write", &format!("{}/{}", self.bucket.location(), self.artifact))
    }
}

/// The manifest of the artifact whose files are in `folder`, below a training job's in `bucket`.
pub(crate) fn manifest_of(bucket: &Bucket, folder: &str) -> Result<Option<Manifest>, JobError> {
    let Some((fingerprint, _)) = folder.split_once('-') else { return Ok(None) };
    let stored = read(bucket, &manifest_name(fingerprint))?;
    let manifest = stored.and_then(|stored| serde_json::from_slice::<Manifest>(&stored.content).ok());
    Ok(manifest.filter(|manifest| manifest.folder == folder))
}

/// The name of a manifest, by the beginning of its fingerprint.
fn manifest_name(short_fingerprint: &str) -> String {
    format!("{PUBLISHED}/{short_fingerprint}.json")
}

/// A manifest, or the file of a maker.
fn read(bucket: &Bucket, name: &str) -> Result<Option<StoredFile>, JobError> {
    let location = format!("{}/{name}", bucket.location());
    bucket.read(name, MAX_MANIFEST_SIZE).map_err(JobError::bucket("read", &location))
}

fn entity_tags(files: &BucketSnapshot) -> BTreeMap<String, String> {
    let tag = |(name, object): (&String, &ObjectMeta)| Some((name.clone(), object.e_tag.clone()?));
    files.objects().iter().filter_map(tag).collect()
}

/// Whether a folder has a name of [`ArtifactFolder::new_folder_name`].
fn is_attempt(folder: &str) -> bool {
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    folder.split_once('-').is_some_and(|(fingerprint, random)| is_hex(fingerprint, 16) && is_hex(random, 8))
}

fn log_failure(name: &str, removed: io::Result<()>) {
    if let Err(error) = removed {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, file = name, "removing files failed: the bucket's lifecycle rules will");
    }
}

/// The folders directly below this one, each with the time of its youngest file.
fn folders(snapshot: &BucketSnapshot) -> BTreeMap<&str, Timestamp> {
    let mut folders = BTreeMap::new();
    for (name, object) in snapshot.objects() {
        let written = Timestamp::from_second(object.last_modified.timestamp()).unwrap_or(Timestamp::MAX);
        if let Some((folder, _)) = name.split_once('/') {
            let youngest = folders.entry(folder).or_insert(written);
            *youngest = written.max(*youngest);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use shared::adapters::storage::Storage;
    use tokio::runtime::Runtime;

    use super::*;

    /// A person knows what is made, and not the files with which its makers find each other.
    #[test]
    fn what_cannot_be_written_is_named_as_the_artifact() {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        std::fs::create_dir(folder.path().join("job-1")).unwrap();
        std::fs::write(folder.path().join("job-1/published"), "a file").unwrap();
        let url = format!("file://{}/job-1", folder.path().canonicalize().unwrap().display());
        let location = Storage::folder(folder.path()).unwrap().location(&url).unwrap();
        let bucket = Bucket::new(location, runtime.handle().clone());
        let target = ArtifactFolder::new(bucket, "gguf q8_0", "f".repeat(64));
        let message = target.write_maker(Vec::new(), None).unwrap_err().message();
        assert!(message.starts_with("cannot write gguf q8_0: "), "{message}");
    }
}
