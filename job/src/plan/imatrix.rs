//! The importance matrix that a GGUF is quantized with.

use engine::Imatrix;

use super::{
    RequestedExport,
    named_file::{FileField, NamedFile},
};
use crate::error::JobError;

/// The files of the largest models have some tens of MB.
const FIELD: FileField =
    FileField { name: "imatrix", max_bytes: 256 << 20, advice: "use the file that llama-imatrix wrote" };

/// An importance matrix, and the name of its file.
pub(crate) struct NamedImatrix {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) content: Imatrix,
}

/// The importance matrix that the record asks for, if it does.
pub(crate) fn find(requested: &RequestedExport<'_>) -> Result<Option<NamedImatrix>, JobError> {
    let Some(url) = requested.export.imatrix.as_deref() else { return Ok(None) };
    let NamedFile { name, source } = FIELD.find(requested, url)?;
    let content = Imatrix::open(&*source, name.as_str())?;
    Ok(Some(NamedImatrix { name, size: source.size(), content }))
}
