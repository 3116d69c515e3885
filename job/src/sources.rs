//! Where inputs are read from: buckets, the folder of base models, and the Hub.

use std::{num::NonZeroUsize, sync::Arc};

use engine::{RunOptions, Source};
use hub_client::HubSettings;
use secrecy::SecretString;
use shared::{
    adapters::storage::{Storage, StorageError},
    domain::HubRepo,
};
use tokio::runtime::Handle;

use crate::{
    bucket::Bucket, chunks, context::Locations, error::JobError, hub::Hub, input_folder::InputFolder,
    progress::ProgressTracker, read_cache::ReadCache,
};

const PLANNING_THREADS: Option<NonZeroUsize> = NonZeroUsize::new(16);

/// The storage and the Hub, with the caller's token.
pub(crate) struct InputSources<'a> {
    storage: &'a Storage,
    base_models: Option<&'a str>,
    hub: &'a HubSettings,
    hf_token: Option<&'a SecretString>,
    progress: &'a Arc<ProgressTracker>,
    runtime: &'a Handle,
    /// For the files of models.
    cache: Arc<ReadCache>,
}

impl<'a> InputSources<'a> {
    pub(crate) fn new(
        locations: &'a Locations,
        hf_token: Option<&'a SecretString>,
        progress: &'a Arc<ProgressTracker>,
        runtime: &'a Handle,
        cache: Arc<ReadCache>,
    ) -> Self {
        Self {
            storage: &locations.storage,
            base_models: locations.base_models.as_deref(),
            hub: &locations.hub,
            hf_token,
            progress,
            runtime,
            cache,
        }
    }

    /// Options for what reads some weights while it is planned. Reads from a bucket wait more than they compute, so more of them wait
    /// at the same time than there are processors.
    pub(crate) fn run_options(&self) -> RunOptions<'_> {
        let progress: &ProgressTracker = self.progress;
        RunOptions { progress, threads: PLANNING_THREADS, ..RunOptions::default() }
    }

    /// The URL of the base models, if there is a folder of them.
    pub(crate) fn base_models(&self) -> Option<&str> {
        self.base_models
    }

    /// The folder of a bucket at `url`.
    pub(crate) fn bucket(&self, url: &str) -> Result<Bucket, StorageError> {
        Ok(Bucket::new(self.storage.location(url)?, self.runtime.clone()))
    }

    /// The folder of a bucket at `url`, with its files: none if it does not exist.
    pub(crate) fn input_folder(&self, url: &str) -> Result<InputFolder, JobError> {
        Ok(Self::files_of(&self.bucket(url)?)?.cached(&self.cache))
    }

    fn files_of(bucket: &Bucket) -> Result<InputFolder, JobError> {
        let snapshot = bucket.snapshot().map_err(JobError::bucket("list", bucket.location()))?;
        Ok(InputFolder::of_bucket(snapshot))
    }

    /// The cache, for files that are not inputs.
    pub(crate) fn cache(&self) -> &Arc<ReadCache> {
        &self.cache
    }

    /// The hash of a file, in lower-case hex.
    pub(crate) fn sha256(&self, source: &dyn Source) -> Result<String, JobError> {
        chunks::sha256(source, self.progress)
    }

    /// The Hub, with the caller's token.
    pub(crate) fn hub(&self) -> Result<Hub, JobError> {
        Hub::new(self.hub, self.hf_token.cloned(), self.progress, self.runtime.clone())
    }

    /// The base model `name`: its folder among the base models, else the repository on the Hub. A revision is read from the
    /// folder `<name>@<revision>`, else from the Hub: which revision the folder `<name>` has is not known.
    pub(crate) fn base_model(&self, name: &HubRepo, revision: Option<&str>) -> Result<InputFolder, JobError> {
        Ok(self.find_base_model(name, revision)?.cached(&self.cache))
    }

    fn find_base_model(&self, name: &HubRepo, revision: Option<&str>) -> Result<InputFolder, JobError> {
        let Some(models) = self.base_models else { return self.hub()?.model(name, revision) };
        let folder = revision.map_or_else(|| name.to_string(), |revision| format!("{name}@{revision}"));
        // a revision that is no path below the base models has no folder there
        let Ok(bucket) = self.bucket(models)?.join(&folder) else { return self.hub()?.model(name, revision) };
        let input = Self::files_of(&bucket)?;
        if input.has_model() {
            return Ok(input);
        }
        let (looked_in, files) = (input.location(), input.files.len());
        tracing::info!(base = %name, looked_in, files, "base model not in the bucket: reading it from the Hub");
        self.hub()?.model(name, revision).map_err(|error| match input.files.is_empty() {
            true => error,
            false => error
                .with_detail(&format!("its folder {folder} among the base models has {}", input.content())),
        })
    }
}
