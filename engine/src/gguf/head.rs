//! The bytes before the first tensor.

use super::Metadata;
use super::metadata::write_string;
use crate::quant::TensorType;

/// Every tensor begins at a multiple of this.
pub(super) const ALIGNMENT: u64 = 32;

/// A tensor's description.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) name: String,
    /// Rows first, as in the checkpoint; the file has them the other way round.
    pub(super) shape: Vec<u64>,
    pub(super) as_type: TensorType,
    /// From the first tensor's first byte.
    pub(super) offset: u64,
}

/// Magic, counts, pairs and descriptions, padded.
pub(super) fn write(metadata: &Metadata, tensors: &[Described]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    metadata.write(&mut out);
    for tensor in tensors {
        write_string(&tensor.name, &mut out);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(tensor.as_type.code().to_le_bytes());
        out.extend(tensor.offset.to_le_bytes());
    }
    out.resize(out.len() + padding(out.len() as u64) as usize, 0);
    out
}

/// Zero bytes up to the next aligned place.
pub(super) fn padding(length: u64) -> u64 {
    length.next_multiple_of(ALIGNMENT) - length
}
