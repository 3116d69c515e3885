//! What an output file will hold, to the byte, before any of it is written.

use std::sync::Arc;

use crate::io::Source;
use crate::quant::TensorType;

/// An output file: the head, then each part, then its padding.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) head: Vec<u8>,
    pub(crate) parts: Vec<Part>,
}

/// A piece of an output file that is made block by block.
pub(crate) struct Part {
    pub(crate) content: Content,
    /// Bytes of the content.
    pub(crate) bytes: u64,
    /// Zero bytes after it.
    pub(crate) padding: u64,
}

/// Where the bytes of a [`Part`] come from.
pub(crate) enum Content {
    /// A file as it is.
    File(Arc<dyn Source>),
    /// A tensor of the model, by its number, as the checkpoint stores it.
    Stored(usize),
    /// The first `elements` of a tensor of the model in a GGUF type, in blocks of whole `row`s.
    Encoded {
        tensor: usize,
        elements: u64,
        row: u64,
        shift: f32,
        as_type: TensorType,
        /// How much each column matters.
        importance: Option<Arc<[f32]>>,
    },
    /// Whole rows that are known already, `times` over, in a GGUF type.
    Values { values: Arc<[f32]>, times: u64, as_type: TensorType },
}

impl Layout {
    /// A file whose content is already known.
    pub(crate) fn small(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self { name: name.into(), head: content, parts: Vec::new() }
    }

    /// A copy of a file.
    pub(crate) fn copy(name: impl Into<String>, source: Arc<dyn Source>) -> Self {
        let part = Part { bytes: source.size(), content: Content::File(source), padding: 0 };
        Self { name: name.into(), head: Vec::new(), parts: vec![part] }
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.head.len() as u64 + self.parts.iter().map(|p| p.bytes + p.padding).sum::<u64>()
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("bytes", &self.bytes)
            .field("padding", &self.padding)
            .finish_non_exhaustive()
    }
}
