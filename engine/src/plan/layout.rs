//! The layout of an output file, to the byte.

use std::sync::Arc;

use kernels::numerics::Dtype;
use kernels::numerics::TensorTransform;
use kernels::quant::{ColumnImportance, TensorType};

use crate::io::Source;

/// An output file: the header, then each part with its padding.
#[derive(Debug)]
pub(crate) struct FileLayout {
    pub(crate) name: String,
    pub(crate) header: Vec<u8>,
    pub(crate) parts: Vec<FilePart>,
}

/// A part of an output file that is written in chunks.
pub(crate) struct FilePart {
    /// The name of the tensor, or of the file itself.
    pub(crate) name: String,
    pub(crate) content: PartContent,
    /// Bytes of the content.
    pub(crate) bytes: u64,
    /// Zero bytes after it.
    pub(crate) padding: u64,
}

/// Where the bytes of a [`FilePart`] come from.
pub(crate) enum PartContent {
    /// A copy of a file.
    File(Arc<dyn Source>),
    /// A tensor of the model, by its number, in the checkpoint's type.
    Stored(usize),
    /// The first `elements` of a tensor of the model in a GGUF type.
    Encoded {
        tensor: usize,
        elements: u64,
        transform: TensorTransform,
        as_type: TensorType,
        /// Whether values are rounded to `f16` first.
        through_f16: bool,
        /// The importance of each column.
        importance: Option<ColumnImportance>,
        /// Whether blocks whose weights lie on a grid are encoded with its step.
        on_grid: bool,
    },
    /// Known rows, repeated `times` times, in a GGUF type.
    Values { values: Arc<[f32]>, times: u64, as_type: TensorType },
}

impl PartContent {
    /// The number of the model's tensor that it is made of.
    pub(crate) fn tensor(&self) -> Option<usize> {
        match self {
            Self::File(_) | Self::Values { .. } => None,
            Self::Stored(tensor) | Self::Encoded { tensor, .. } => Some(*tensor),
        }
    }

    /// The size in bytes of `count` units: bytes of a file, elements of a tensor of type `dtype`, repetitions of values.
    pub(crate) fn bytes_of(&self, count: u64, dtype: Option<Dtype>) -> u64 {
        match self {
            Self::File(_) => count,
            Self::Stored(_) => count * dtype.map_or(1, Dtype::bytes),
            Self::Encoded { as_type, .. } => as_type.bytes(count),
            Self::Values { values, as_type, .. } => count * as_type.bytes(values.len() as u64),
        }
    }
}

impl FileLayout {
    /// A file whose content is already known.
    pub(crate) fn small(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self { name: name.into(), header: content, parts: Vec::new() }
    }

    /// A copy of a file.
    pub(crate) fn copy(name: impl Into<String>, source: Arc<dyn Source>) -> Self {
        let name = name.into();
        let (bytes, content) = (source.size(), PartContent::File(source));
        let part = FilePart { name: name.clone(), bytes, content, padding: 0 };
        Self { name, header: Vec::new(), parts: vec![part] }
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.header.len() as u64 + self.parts.iter().map(|p| p.bytes + p.padding).sum::<u64>()
    }

    /// Where each part begins.
    pub(crate) fn starts(&self) -> Vec<u64> {
        let mut at = self.header.len() as u64;
        let start = |part: &FilePart| {
            at += part.bytes + part.padding;
            at - part.bytes - part.padding
        };
        self.parts.iter().map(start).collect()
    }
}

impl std::fmt::Debug for FilePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("name", &self.name)
            .field("bytes", &self.bytes)
            .field("padding", &self.padding)
            .finish_non_exhaustive()
    }
}
