//! The importance matrix that a GGUF is quantized with. Callers name it, so it is read only from folders whose content they may
//! use: that of the training job's adapter, and that of the base models.

use engine::{Folder as _, Imatrix};

use super::RequestedExport;
use crate::error::JobError;

/// Largest file in bytes; those of the largest models have some tens of MB.
const MAX_SIZE: u64 = 256 << 20;

/// An importance matrix, and the name of its file.
pub(crate) struct NamedImatrix {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) content: Imatrix,
}

/// The importance matrix that the record asks for, if it does.
pub(crate) fn find(requested: &RequestedExport<'_>) -> Result<Option<NamedImatrix>, JobError> {
    let Some(url) = requested.export.imatrix.as_deref() else { return Ok(None) };
    let job = requested.training_job;
    let folders = [job.adapter_path.as_deref(), requested.sources.base_models()];
    let found = folders.into_iter().flatten().find_map(|folder| {
        let folder = folder.trim_end_matches('/');
        Some((folder, url.strip_prefix(folder)?.strip_prefix('/')?))
    });
    let Some((folder, path)) = found else {
        return Err(JobError::InvalidInput(format!(
            "imatrix {url} is neither below the adapter of training job {} nor among the base models: put it into one of these \
             folders",
            job.id
        )));
    };
    let folder = requested.sources.bucket(folder)?;
    let (folder, name) = match path.rsplit_once('/') {
        Some((parent, name)) => (folder.join(parent)?, name),
        None => (folder, path),
    };
    let files = folder.snapshot().map_err(JobError::bucket("list", folder.location()))?;
    let Some(size) = files.size_of(name) else {
        return Err(JobError::NotFound(format!("imatrix {url} does not exist: correct its path")));
    };
    if size > MAX_SIZE {
        return Err(JobError::InvalidInput(format!(
            "imatrix {url} has over {MAX_SIZE} bytes: use the file that llama-imatrix wrote"
        )));
    }
    let source = files.open(name).map_err(JobError::bucket("read", url))?;
    let content = Imatrix::open(&*source, name)?;
    Ok(Some(NamedImatrix { name: name.to_owned(), size, content }))
}
