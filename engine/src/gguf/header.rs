//! Writes the header of a GGUF file: the bytes before the first tensor.

use kernels::quant::TensorType;

use super::GgufMetadata;
use super::metadata::write_string;

/// Tensors begin at multiples of this (`general.alignment`).
pub(crate) const ALIGNMENT: u64 = 32;

/// The header's entry of a tensor (`gguf_tensor_info`).
#[derive(Debug, Clone)]
pub(crate) struct GgufTensorInfo {
    pub(crate) name: String,
    /// Rows first, as in the checkpoint. The file has the reverse order.
    pub(crate) shape: Vec<u64>,
    pub(crate) tensor_type: TensorType,
    /// Bytes from the start of the first tensor.
    pub(crate) offset: u64,
}

/// The header's bytes: magic, version, counts, metadata and tensor infos, padded.
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
        out.extend(tensor.tensor_type.ggml_type().to_le_bytes());
        out.extend(tensor.offset.to_le_bytes());
    }
    out.resize(out.len() + padding(out.len() as u64) as usize, 0);
    out
}

/// The number of padding bytes after `length` bytes.
pub(crate) fn padding(length: u64) -> u64 {
    length.next_multiple_of(ALIGNMENT) - length
}
