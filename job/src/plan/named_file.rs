//! A file that the caller names. It is read only from folders whose content they may use: that of the training job's adapter, and
//! that of the base models.

use std::sync::Arc;

use engine::{Folder as _, Source};

use super::RequestedExport;
use crate::error::JobError;

/// A file of the storage.
pub(crate) struct NamedFile {
    /// The name in its folder.
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Source>,
}

/// The field of a request that names a file, and what is read of it at the most.
pub(super) struct FileField {
    pub(super) name: &'static str,
    pub(super) max_bytes: u64,
    /// What to do about a larger file.
    pub(super) advice: &'static str,
}

impl FileField {
    /// The file at `url`. Errors are about this field.
    pub(super) fn find(&self, requested: &RequestedExport<'_>, url: &str) -> Result<NamedFile, JobError> {
        self.find_file(requested, url).map_err(|error| error.of_field(self.name))
    }

    fn find_file(&self, requested: &RequestedExport<'_>, url: &str) -> Result<NamedFile, JobError> {
        let (field, max_bytes, job) = (self.name, self.max_bytes, requested.training_job);
        let folders = [job.adapter_path.as_deref(), requested.sources.base_models()];
        let found = folders.into_iter().flatten().find_map(|folder| {
            let folder = folder.trim_end_matches('/');
            Some((folder, url.strip_prefix(folder)?.strip_prefix('/')?))
        });
        let Some((folder, path)) = found else {
            let known = folders.into_iter().flatten().next().and_then(|folder| folder.split_once("://"));
            let scheme = known.map_or("gs", |(scheme, _)| scheme);
            return Err(JobError::InvalidInput(format!(
                "{field} {url} is neither below the adapter folder of training job {} (adapter_path) nor below the folder of base \
                 models: put it into one of them, and give its URL there, which begins with {scheme}://",
                job.id
            )));
        };
        let folder = requested.sources.bucket(folder)?;
        let not_plain = || {
            JobError::InvalidInput(format!(
                "{field} {url} has . or .. or nothing between slashes in its path: write the path without them"
            ))
        };
        let (folder, name) = match path.rsplit_once('/') {
            Some((parent, name)) => (folder.join(parent).map_err(|_| not_plain())?, name),
            None => (folder, path),
        };
        let files = folder.snapshot().map_err(JobError::bucket("list", folder.location()))?;
        let Some(size) = files.size_of(name) else {
            return Err(JobError::NotFound(format!("{field} {url} does not exist: correct its path")));
        };
        if size > max_bytes {
            let advice = self.advice;
            return Err(JobError::InvalidInput(format!(
                "{field} {url} has over {max_bytes} bytes: {advice}"
            )));
        }
        let source = files.open(name).map_err(JobError::bucket("read", url))?;
        Ok(NamedFile { name: name.to_owned(), source })
    }
}

impl NamedFile {
    pub(super) fn read(&self) -> Result<Vec<u8>, JobError> {
        // within the limit of the field
        let mut bytes = vec![0; self.source.size() as usize];
        self.source.read_at(0, &mut bytes).map_err(JobError::bucket("read", self.source.location()))?;
        Ok(bytes)
    }
}
