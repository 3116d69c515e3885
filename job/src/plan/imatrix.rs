//! The importance matrix that a GGUF is quantized with: a file, or one that is computed from a text.

use engine::Imatrix;

use super::{
    RequestedExport,
    calibration::{self, NamedText},
    named_file::{FileField, NamedFile},
};
use crate::{error::JobError, fingerprint::Fingerprint};

/// The files of the largest models have some tens of MB.
const FIELD: FileField =
    FileField { name: "imatrix", max_bytes: 256 << 20, advice: "use the file that llama-imatrix wrote" };

/// The importance matrix of a request.
pub(crate) enum ImatrixInput {
    /// The content of a file of `size` bytes.
    File { name: String, size: u64, content: Imatrix },
    /// It is computed from base and adapter.
    Computed(NamedText),
}

/// The importance matrix that the record asks for, if it does.
pub(crate) fn find(requested: &RequestedExport<'_>) -> Result<Option<ImatrixInput>, JobError> {
    let Some(url) = requested.export.imatrix.as_deref() else {
        return Ok(calibration::find(requested)?.map(ImatrixInput::Computed));
    };
    let NamedFile { name, source } = FIELD.find(requested, url)?;
    let content = Imatrix::open(&*source, name.as_str());
    let content = content.map_err(|error| JobError::from(error).of_field(FIELD.name))?;
    Ok(Some(ImatrixInput::File { name, size: source.size(), content }))
}

impl ImatrixInput {
    /// The matrix, or what stands for it before it is computed.
    pub(super) fn planned(&self) -> Imatrix {
        match self {
            Self::File { content, .. } => content.clone(),
            Self::Computed(text) => text.planned_imatrix(),
        }
    }

    /// The bytes that are read of its file.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Computed(_) => 0,
        }
    }

    /// The text that it is computed from.
    pub(crate) fn text(&self) -> Option<&NamedText> {
        match self {
            Self::File { .. } => None,
            Self::Computed(text) => Some(text),
        }
    }

    pub(super) fn fingerprint(&self, artifact: Fingerprint) -> Fingerprint {
        match self {
            Self::File { name, content, .. } => {
                artifact.option("imatrix", content.sha256()).option("imatrix file", name)
            }
            Self::Computed(text) => {
                artifact.option("calibration", &text.sha256()).option("calibration file", text.name())
            }
        }
    }
}
