//! An importance matrix in the format of `llama-imatrix`: of each tensor, the sums of squares of its inputs and their number.

use std::collections::BTreeMap;
use std::io;

use kernels::quant::TensorType;
use sha2::{Digest as _, Sha256};

use super::{CHUNK_TOKENS, CalibrationText};
use crate::error::{Error, Result};
use crate::forward::TensorInputs;
use crate::gguf::header::{self, GgufTensorInfo};
use crate::gguf::{GgufMetadata, MetadataValue};
use crate::imatrix::{CalibrationUse, Imatrix};
use crate::io::{Output, Source};
use crate::left_out::LeftOut;
use crate::plan::WrittenFile;

/// An importance matrix that was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredImatrix {
    bytes: Vec<u8>,
    text: CalibrationUse,
    tensors: usize,
    chunks: usize,
}

impl MeasuredImatrix {
    pub(super) fn new(
        tensors: &BTreeMap<String, TensorInputs>,
        text: &CalibrationText<'_>,
        (chunks, left_out): (usize, Option<LeftOut>),
    ) -> Self {
        let mut metadata = GgufMetadata::default();
        metadata.set("general.type", "imatrix");
        metadata.set("imatrix.datasets", MetadataValue::Strings(vec![text.file.to_owned()]));
        // as llama-imatrix counts: a matrix that is used twice in a layer has twice as many inputs
        let inputs = tensors.values().flat_map(|inputs| &inputs.counts).max().copied().unwrap_or(0);
        metadata.set("imatrix.chunk_count", (inputs / CHUNK_TOKENS as u64) as u32);
        metadata.set("imatrix.chunk_size", CHUNK_TOKENS as u32);
        let (mut infos, mut data) = (Vec::new(), Vec::new());
        for (name, TensorInputs { counts, sums }) in tensors {
            let counted: Vec<f32> = counts.iter().map(|count| *count as f32).collect();
            let summed: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
            for (suffix, values) in [("in_sum2", summed), ("counts", counted)] {
                let columns = (values.len() / counts.len().max(1)) as u64;
                // ggml knows one row as a vector
                let shape =
                    if counts.len() == 1 { vec![columns] } else { vec![counts.len() as u64, columns] };
                let (name, offset) = (format!("{name}.{suffix}"), data.len() as u64);
                infos.push(GgufTensorInfo { name, shape, tensor_type: TensorType::F32, offset });
                data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                data.resize(data.len() + header::padding(data.len() as u64) as usize, 0);
            }
        }
        let mut bytes = header::write(&metadata, &infos);
        bytes.extend(data);
        let text = CalibrationUse {
            file: text.file.to_owned(),
            sha256: hex::encode(Sha256::digest(text.bytes)),
            tokens: chunks * CHUNK_TOKENS,
            left_out,
        };
        Self { bytes, text, tensors: tensors.len(), chunks }
    }

    /// The number of tensors.
    pub fn tensors(&self) -> usize {
        self.tensors
    }

    /// The number of chunks of the text that were used.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// The number of tokens that were used.
    pub fn tokens(&self) -> usize {
        self.chunks * CHUNK_TOKENS
    }

    /// The conversations of a training set that were left out.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.text.left_out.as_ref()
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The matrix as it is read from the file of that name. Reports of exports with it have the text.
    ///
    /// # Errors
    /// Never: what was computed can be read.
    pub fn imatrix(&self, name: &str) -> Result<Imatrix> {
        Ok(Imatrix::open(&MemoryFile(&self.bytes), name)?.with_calibration(self.text.clone()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, output: &mut dyn Output) -> Result<WrittenFile> {
        let written = WrittenFile::write(name, &self.bytes, output)?;
        output.publish(&[name]).map_err(|e| Error::write(name, e))?;
        Ok(written)
    }
}

/// A file in memory.
struct MemoryFile<'a>(&'a [u8]);

impl Source for MemoryFile<'_> {
    fn location(&self) -> &str {
        "the importance matrix"
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = usize::try_from(offset).ok().and_then(|start| self.0.get(start..start + buffer.len()));
        buffer.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
