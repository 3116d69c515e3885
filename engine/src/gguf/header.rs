//! The bytes before the first tensor.

use super::GgufMetadata;
use super::metadata::write_string;
use crate::quant::TensorType;

/// Every tensor begins at a multiple of this.
pub(crate) const ALIGNMENT: u64 = 32;

/// A tensor's description.
#[derive(Debug, Clone)]
pub(crate) struct GgufTensorInfo {
    pub(crate) name: String,
    /// Rows first, as in the checkpoint; the file has them the other way round.
    pub(crate) shape: Vec<u64>,
    pub(crate) as_type: TensorType,
    /// From the first tensor's first byte.
    pub(crate) offset: u64,
}

/// Magic, counts, pairs and descriptions, padded.
pub(crate) fn write(metadata: &GgufMetadata, tensors: &[GgufTensorInfo]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    metadata.write(&mut out);
    for tensor in tensors {
        write_string(&tensor.name, &mut out);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(tensor.as_type.ggml_type().to_le_bytes());
        out.extend(tensor.offset.to_le_bytes());
    }
    out.resize(out.len() + padding(out.len() as u64) as usize, 0);
    out
}

/// Zero bytes up to the next aligned place.
pub(crate) fn padding(length: u64) -> u64 {
    length.next_multiple_of(ALIGNMENT) - length
}
