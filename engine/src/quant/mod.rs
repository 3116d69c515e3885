//! How a GGUF file stores weights: the types of tensors, and the mixtures of them that files are named after.

mod blocks;
mod importance;
mod iq4;
mod iq4_nl;
mod iq4_xs;
mod k_quants;
mod legacy;
mod output_type;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod rounding;
mod scale_search;
mod tensor_types;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use importance::ColumnImportance;
pub use output_type::OutputType;
pub(crate) use tensor_types::{ModelShape, TypeSelector};

use crate::numerics::Dtype;

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// Brain float.
    Bf16,
    /// 4 bits and a scale.
    Q4_0,
    /// 4 bits, a scale and a minimum.
    Q4_1,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a minimum.
    Q5_1,
    /// 8 bits and a scale.
    Q8_0,
    /// 2 bits with scales and minima of groups.
    Q2K,
    /// 3 bits with scales of groups.
    Q3K,
    /// 4 bits with scales and minima of groups.
    Q4K,
    /// 5 bits with scales and minima of groups.
    Q5K,
    /// 6 bits with scales of groups.
    Q6K,
    /// 4 bits on uneven levels and a scale.
    Iq4Nl,
    /// 4 bits on uneven levels with scales of groups.
    Iq4Xs,
}

impl TensorType {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
    ];

    /// The type with this number in a tensor's description.
    pub fn of_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }

    /// The number in a tensor's description (`ggml_type`).
    pub fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2K => 10,
            Self::Q3K => 11,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::Iq4Nl => 20,
            Self::Iq4Xs => 23,
            Self::Bf16 => 30,
        }
    }

    /// The name ggml gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Iq4Nl => "IQ4_NL",
            Self::Iq4Xs => "IQ4_XS",
        }
    }

    /// How many elements are stored together; a row is a multiple of it.
    pub fn block(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::Iq4Nl => {
                legacy::BLOCK_SIZE as u64
            }
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => {
                k_quants::BLOCK_SIZE as u64
            }
        }
    }

    /// Bytes a block takes.
    pub fn block_bytes(self) -> u64 {
        let bytes = match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => q4_0::BLOCK_BYTES,
            Self::Q4_1 => q4_1::BLOCK_BYTES,
            Self::Q5_0 => q5_0::BLOCK_BYTES,
            Self::Q5_1 => q5_1::BLOCK_BYTES,
            Self::Q8_0 => q8_0::BLOCK_BYTES,
            Self::Q2K => q2_k::BLOCK_BYTES,
            Self::Q3K => q3_k::BLOCK_BYTES,
            Self::Q4K => q4_k::BLOCK_BYTES,
            Self::Q5K => q5_k::BLOCK_BYTES,
            Self::Q6K => q6_k::BLOCK_BYTES,
            Self::Iq4Nl => iq4_nl::BLOCK_BYTES,
            Self::Iq4Xs => iq4_xs::BLOCK_BYTES,
        };
        bytes as u64
    }

    /// Bytes that `elements` take, which must be whole blocks.
    pub(crate) fn bytes(self, elements: u64) -> u64 {
        elements / self.block() * self.block_bytes()
    }

    /// Writes the stored form of whole rows; of one, where `importance` says how much each column matters.
    pub(crate) fn encode(self, values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        let encode = match self {
            Self::F32 => return Dtype::F32.narrow(values, bytes),
            Self::F16 => return Dtype::F16.narrow(values, bytes),
            Self::Bf16 => return Dtype::Bf16.narrow(values, bytes),
            Self::Q8_0 => return q8_0::encode(values, bytes),
            Self::Q4_0 => q4_0::encode,
            Self::Q4_1 => q4_1::encode,
            Self::Q5_0 => q5_0::encode,
            Self::Q5_1 => q5_1::encode,
            Self::Q2K => q2_k::encode,
            Self::Q3K => q3_k::encode,
            Self::Q4K => q4_k::encode,
            Self::Q5K => q5_k::encode,
            Self::Q6K => q6_k::encode,
            Self::Iq4Nl => iq4_nl::encode,
            Self::Iq4Xs => iq4_xs::encode,
        };
        encode(values, importance, bytes);
    }
}

impl TensorType {
    /// What stored whole blocks stand for (`dequantize_row_…` of ggml, to the bit): one value for each element.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::F32 => Dtype::F32.widen(bytes, values),
            Self::F16 => Dtype::F16.widen(bytes, values),
            Self::Bf16 => Dtype::Bf16.widen(bytes, values),
            Self::Q4_0 => q4_0::decode(bytes, values),
            Self::Q4_1 => q4_1::decode(bytes, values),
            Self::Q5_0 => q5_0::decode(bytes, values),
            Self::Q5_1 => q5_1::decode(bytes, values),
            Self::Q8_0 => q8_0::decode(bytes, values),
            Self::Q2K => q2_k::decode(bytes, values),
            Self::Q3K => q3_k::decode(bytes, values),
            Self::Q4K => q4_k::decode(bytes, values),
            Self::Q5K => q5_k::decode(bytes, values),
            Self::Q6K => q6_k::decode(bytes, values),
            Self::Iq4Nl => iq4_nl::decode(bytes, values),
            Self::Iq4Xs => iq4_xs::decode(bytes, values),
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
