//! How a GGUF file stores weights: the types of tensors, and the mixtures of them that files are named after.

mod q8_0;

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Dtype;

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// Brain float.
    Bf16,
    /// 32 signed bytes and a scale.
    Q8_0,
}

impl TensorType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// The type with this number in a tensor's description.
    pub fn of_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }

    /// The number in a tensor's description (`ggml_type`).
    pub fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
            Self::Bf16 => 30,
        }
    }

    /// The name ggml gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// How many elements are stored together; a row is a multiple of it.
    pub fn block(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 => q8_0::BLOCK as u64,
        }
    }

    /// Bytes a block takes.
    pub fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => q8_0::BYTES as u64,
        }
    }

    /// Bytes that `elements` take, which must be whole blocks.
    pub(crate) fn bytes(self, elements: u64) -> u64 {
        elements / self.block() * self.block_bytes()
    }

    /// Writes the stored form of whole blocks.
    pub(crate) fn encode(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Self::F32 => Dtype::F32.narrow(values, bytes),
            Self::F16 => Dtype::F16.narrow(values, bytes),
            Self::Bf16 => Dtype::Bf16.narrow(values, bytes),
            Self::Q8_0 => q8_0::encode(values, bytes),
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Writes what `encode` makes of each block of values.
#[inline(always)]
fn each_block<const BLOCK: usize, const BYTES: usize>(
    values: &[f32],
    bytes: &mut [u8],
    encode: impl Fn(&[f32; BLOCK], &mut [u8; BYTES]),
) {
    for (block, place) in values.as_chunks::<BLOCK>().0.iter().zip(bytes.as_chunks_mut::<BYTES>().0) {
        encode(block, place);
    }
}

/// What a GGUF file is made as: one type for all matrices, or a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Brain floats.
    Bf16,
    /// 8 bits and a scale for 32 weights.
    Q8_0,
}

impl OutputType {
    /// All of them, the most exact first.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// The name people use, lower case: `q8_0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// The number under `general.file_type` (`llama_ftype`).
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
            Self::Bf16 => 32,
        }
    }

    /// The type of a matrix whose rows are `columns` long: the converter falls back to F16 where a row is not a
    /// whole number of blocks.
    pub(crate) fn matrix_type(self, columns: u64) -> TensorType {
        let wanted = match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::Bf16 => TensorType::Bf16,
            Self::Q8_0 => TensorType::Q8_0,
        };
        if columns.is_multiple_of(wanted.block()) { wanted } else { TensorType::F16 }
    }
}

impl fmt::Display for OutputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OutputType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == lower)
            .ok_or_else(|| format!("{text:?} is no output type; there are {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_type_is_found_by_its_name() {
        for output in OutputType::ALL {
            assert_eq!(output.as_str().to_uppercase().parse(), Ok(output));
        }
        assert!("q9".parse::<OutputType>().unwrap_err().contains("q8_0"));
    }
}
